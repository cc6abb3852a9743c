import { expect, test } from 'vitest'
import { backoff } from '../../src/client/backoff.ts'

const waits = (attempt: number, asked?: number) =>
  Array.from({ length: 100 }, () => backoff(attempt, asked))

test('waits grow from a tenth of a second to two, apart from each other', () => {
  expect(Math.min(...waits(0))).toBeGreaterThanOrEqual(50)
  expect(Math.max(...waits(0))).toBeLessThanOrEqual(100)
  expect(Math.max(...waits(50))).toBeLessThanOrEqual(2000)
  expect(new Set(waits(5)).size).toBeGreaterThan(50)
})

test('a broker is left alone for as long as it asks, a minute at most', () => {
  expect(Math.min(...waits(0, 3))).toBeGreaterThanOrEqual(3000)
  expect(Math.max(...waits(0, 1e9))).toBeLessThanOrEqual(60_100)
  expect(Math.max(...waits(0, -5))).toBeLessThanOrEqual(100)
})
