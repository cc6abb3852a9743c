import { expect, test } from 'vitest'
import { nearest } from '../../src/lib/nearest.ts'

const KEYS = ['policies', 'identity', 'tasks', 'url', 'tls']

test.each([
  ['polcies', 'policies'],
  ['idnetity', 'identity'],
  ['task', 'tasks'],
  ['ulr', 'url'],
  ['pol', 'policies'],
  ['identityProvider', 'identity'],
])('%s was meant to be %s', (typed, meant) => expect(nearest(typed, KEYS)).toBe(meant))

test('a beginning of several is none of them, and of those that it begins with it is the longest', () => {
  expect(nearest('no-w', ['no-wait', 'no-warning'])).toBeUndefined()
  expect(nearest('environment', ['env', 'envi', 'en'])).toBe('envi')
})

test('what is like none of them is not guessed', () => {
  for (const typed of ['', 'zebra', 'environment', 'id', 'x'.repeat(100_000)]) {
    expect(nearest(typed, KEYS)).toBeUndefined()
  }
})
