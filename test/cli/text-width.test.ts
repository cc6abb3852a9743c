import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cutTo, padTo, widthOf, wrapTo } from '../../src/cli/text-width.ts'
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

test('a line is broken between words, each row under the first word', () => {
  expect(wrapTo('jit: hint: give --env and --task, or the name of a profile', 30)).toBe(
    'jit: hint: give --env and\n--task, or the name of a\nprofile',
  )
  expect(wrapTo('  indented and too long', 14)).toBe('  indented and\n  too long')
  expect(wrapTo('✓ revoked one and two', 12)).toBe('✓ revoked\n  one and\n  two')
})

test('a command behind a colon stays whole, so that it can be copied', () => {
  expect(wrapTo('jit: hint: like: jit exec --env dev -- make', 20)).toBe(
    'jit: hint: like:\njit exec --env dev -- make',
  )
  expect(wrapTo('jit: hint: jit login https://… (the address)', 30)).toBe(
    'jit: hint: jit login https://…\n(the address)',
  )
})

test('colours end with their row and go on with the next', () => {
  const [first, second] = wrapTo('\u001b[2m  dim and long\u001b[22m', 8).split('\n')
  expect(first).toBe('  \u001b[2mdim\u001b[22m')
  expect(second).toBe('  \u001b[2mand\u001b[22m')
})

test('whatever is broken keeps its words, and no row is wider but by a single word', () => {
  const words = fc.array(fc.stringMatching(/^[a-z日本語]{1,12}$/), { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(words, fc.integer({ min: 1, max: 40 }), (given, columns) => {
      const rows = wrapTo(given.join(' '), columns).split('\n')
      expect(rows.join(' ').split(/\s+/)).toEqual(given)
      for (const row of rows) {
        expect(widthOf(row) <= columns || !row.trim().includes(' ')).toBe(true)
      }
    }),
  )
})
