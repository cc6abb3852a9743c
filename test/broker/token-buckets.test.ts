import { expect, test } from 'vitest'
import { TokenBuckets } from '../../src/broker/token-buckets.ts'

/** Buckets of 60 a minute, and their clock in seconds. */
function buckets() {
  const clock = { seconds: 0 }
  return { clock, kept: new TokenBuckets(60, () => clock.seconds * 1000) }
}

const takeAll = (kept: TokenBuckets, key: string, times: number) =>
  Array.from({ length: times }, () => kept.take(key))

test('a minute’s worth may be taken at once, then one comes back each second', () => {
  const { clock, kept } = buckets()
  expect(takeAll(kept, 'a', 61)).toEqual([...Array(60).fill(0), 1])
  clock.seconds = 0.9
  expect(kept.take('a')).toBe(1)
  clock.seconds = 3
  expect(takeAll(kept, 'a', 4)).toEqual([0, 0, 0, 1])
})

test('a rest fills it up, and no further', () => {
  const { clock, kept } = buckets()
  takeAll(kept, 'a', 60)
  clock.seconds = 3600
  expect(takeAll(kept, 'a', 61).filter((seconds) => seconds === 0)).toHaveLength(60)
})

test('what is given back can be taken again', () => {
  const { kept } = buckets()
  takeAll(kept, 'a', 60)
  kept.give('a')
  expect(takeAll(kept, 'a', 2)).toEqual([0, 1])
})

test('one who takes too much takes nothing from another', () => {
  const { kept } = buckets()
  takeAll(kept, 'a', 100)
  expect(kept.take('b')).toBe(0)
})

test('who comes as ever more others shares one bucket in the end, until those have rested', () => {
  const { clock, kept } = buckets()
  for (let count = 0; count < 50_000; count += 1) kept.take(`one-${count}`)
  const late = Array.from({ length: 100 }, (_, count) => kept.take(`late-${count}`))
  expect(late.filter((seconds) => seconds === 0)).toHaveLength(60)
  expect(kept.take('one-1')).toBe(0)
  clock.seconds = 120
  expect(takeAll(kept, 'late-1', 60)).toEqual(Array(60).fill(0))
  expect(kept.take('late-2')).toBe(0)
})
