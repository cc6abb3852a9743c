import { expect, test } from 'vitest'
import { withoutTrailing } from '../../src/lib/without-trailing.ts'

test.each([
  ['https://jit.acme.dev//', '/', 'https://jit.acme.dev'],
  ['shop.git.git', '.git', 'shop'],
  ['//shop', '/', '//shop'],
  ['===', '=', ''],
  ['', '/', ''],
])('takes off the end of %j what is there: %j', (text, end, rest) => {
  expect(withoutTrailing(text, end)).toBe(rest)
})

test('takes a time in proportion to the text', () => {
  const before = process.cpuUsage()
  const text = `${'/'.repeat(5_000_000)}x`
  expect(withoutTrailing(text, '/')).toBe(text)
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000)
})
