import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cutTo, padTo, widthOf } from '../../src/cli/text-width.ts'
import { escapeForDisplay } from '../../src/lib/escape.ts'

test.each([
  ['plain', 5],
  ['日本語', 6],
  ['ｆｕｌｌ', 8],
  ['e\u0301te\u0301', 3],
  ['\u1112\u1161\u11ab', 2],
  ['🚀', 2],
  ['👍🏽', 2],
  ['👩‍💻', 2],
  ['\u001b[31mred\u001b[39m', 3],
  ['', 0],
])('%j takes %i columns', (text, columns) => {
  expect(widthOf(text)).toBe(columns)
})

test('a character that would not fit whole is left out', () => {
  expect(cutTo('日本語', 6)).toBe('日本語')
  expect(cutTo('日本語', 5)).toBe('日本…')
  expect(cutTo('日本語', 4)).toBe('日…')
  expect(cutTo('e\u0301e\u0301e\u0301', 2)).toBe('e\u0301…')
  expect(cutTo('anything', 1)).toBe('…')
})

const anyText = fc.string({ unit: 'binary', maxLength: 40 }).map(escapeForDisplay)

test('whatever is cut fits, and is a beginning of what it was', () => {
  fc.assert(
    fc.property(anyText, fc.integer({ min: 1, max: 40 }), (text, columns) => {
      const cut = cutTo(text, columns)
      expect(widthOf(cut)).toBeLessThanOrEqual(columns)
      expect(cut === text || text.startsWith(cut.slice(0, -1))).toBe(true)
    }),
  )
})

test('whatever is padded takes exactly its columns', () => {
  fc.assert(
    fc.property(anyText, fc.integer({ min: 1, max: 40 }), (text, columns) => {
      expect(widthOf(padTo(cutTo(text, columns), columns))).toBe(columns)
    }),
  )
})
