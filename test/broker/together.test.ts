import { expect, test } from 'vitest'
import { Together } from '../../src/broker/ledger/together.ts'

test('what comes in one turn, and while something is done, is done in one go, so many at most', async () => {
  const done: number[][] = []
  const together = new Together<number>(3, async (items) => {
    done.push([...items])
    if (done.length === 1) later.push(together.add(6), together.add(7))
  })
  const later: Promise<void>[] = []
  await Promise.all([1, 2, 3, 4, 5].map((item) => together.add(item)))
  await Promise.all(later)
  expect(done).toEqual([[1, 2, 3], [4, 5, 6], [7]])
})

test('what goes wrong is said to all who were done together, and to nobody else', async () => {
  const together = new Together<string>(2, async (items) => {
    if (items.includes('bad')) throw new Error('disk full')
  })
  const outcomes = await Promise.allSettled(
    ['bad', 'beside', 'next'].map((one) => together.add(one)),
  )
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled'])
  await together.add('later')
})
