import fc from 'fast-check'
import { expect, test } from 'vitest'
import { escapeForDisplay } from '../../src/lib/escape.ts'

test.each([
  ['plain text, ümlauts and 漢字 stay', 'grün 漢字 🙂', 'grün 漢字 🙂'],
  ['a terminal escape', '\u001b[31mred', '\\u{1b}[31mred'],
  ['a bidirectional override', 'abc\u202edcba', 'abc\\u{202e}dcba'],
  ['a zero-width joiner', 'ad\u200dmin', 'ad\\u{200d}min'],
  ['a line end', 'one\ntwo', 'one\\u{a}two'],
  ['a lone surrogate', 'a\ud800', 'a\\u{d800}'],
])('%s', (_, text, shown) => {
  expect(escapeForDisplay(text)).toBe(shown)
})

test('whatever goes in, nothing that a terminal obeys comes out', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(escapeForDisplay(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    }),
  )
})
