import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Graces } from '../../src/broker/graces.ts'
import type { LineLedger } from '../../src/broker/ledger/line-ledger.ts'

const GRACE = 10_000
const log = { debug() {}, info() {}, warn() {}, error() {} }

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** Graces over a store that takes nothing until it is `back`. */
function graces({ shared }: { shared: boolean }) {
  let isBack = false
  const ended: string[] = []
  const lines = {
    letGo: async () => {
      if (!isBack) throw new Error('out of reach')
      return Date.now() + GRACE
    },
    isGivenMore: async () => false,
  } as Pick<LineLedger, 'letGo' | 'isGivenMore'> as LineLedger
  const one = new Graces({
    ...{ what: 'grants', grace: GRACE, lines, store: { shared }, log },
    isHeld: () => false,
    end: async (id) => void ended.push(id),
  })
  return {
    one,
    ended,
    back: () => {
      isBack = true
    },
  }
}

test('a connection that was lost while the store was out of reach has a whole grace once it is back, where nodes share it', async () => {
  const { one, ended, back } = graces({ shared: true })
  one.lose('g')
  await vi.advanceTimersByTimeAsync(GRACE * 3 - 1000)
  back()
  await vi.advanceTimersByTimeAsync(GRACE)
  expect(ended).toEqual([])
  await vi.advanceTimersByTimeAsync(GRACE)
  expect(ended).toEqual(['g'])
})

test('where no other node could have it, it ends after its grace, recorded or not', async () => {
  const { one, ended } = graces({ shared: false })
  one.lose('g')
  await vi.advanceTimersByTimeAsync(GRACE - 1)
  expect(ended).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  expect(ended).toEqual(['g'])
})
