import { expect, test } from 'vitest'
import { readDocument } from '../../src/lib/document.ts'

test.each([
  ['at the top', 'a: 1\nb: 2\na: 3\n', 3],
  ['further down', 'a:\n  b: 1\n  "b": 2\n', 3],
  ['in a list', 'a:\n  - b: 1\n  - b: 1\n    b: 1\n', 4],
  ['on one line', 'a: {b: 1, b: 2}\n', 1],
])('a key that is there twice is refused with its line: %s', (_, text, line) => {
  const message = `a.yaml:${line}: this key is here twice`
  expect(() => readDocument(text, 'a.yaml')).toThrow(message)
})

test('a map of as many keys as a file may hold is read, not compared key by key', () => {
  const keys = Array.from({ length: 90_000 }, (_, index) => `k${index}: 1`)
  const { value } = readDocument(keys.join('\n'), 'a.yaml')
  expect(Object.keys(value as object)).toHaveLength(keys.length)
})
