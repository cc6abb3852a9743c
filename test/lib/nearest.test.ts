import { expect, test } from 'vitest'
import { nearest } from '../../src/lib/nearest.ts'

const KEYS = ['policies', 'identity', 'tasks', 'url', 'tls']

test.each([
  ['polcies', 'policies'],
  ['idnetity', 'identity'],
  ['task', 'tasks'],
  ['ulr', 'url'],
])('%s was meant to be %s', (typed, meant) => expect(nearest(typed, KEYS)).toBe(meant))

test('what is like none of them is not guessed', () => {
  for (const typed of ['', 'zebra', 'environment', 'x'.repeat(100_000)]) {
    expect(nearest(typed, KEYS)).toBeUndefined()
  }
})
