import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatTable } from '../../src/cli/table.ts'
import { widthOf } from '../../src/cli/text-width.ts'
import { escapeForDisplay } from '../../src/lib/escape.ts'

const ROWS = [
  ['ID', 'WHO', 'TARGETS'],
  ['g_01m81tqvs82gk87', 'somebody of the team', 'development-api, dev-db, other-database'],
]

test('columns are as wide as their widest cell, colours not counted, without trailing spaces', () => {
  const rows = [
    ['A', 'B', 'C'],
    [{ text: 'long', paint: (text: string) => `\u001b[31m${text}\u001b[39m` }, 'x', ''],
  ]
  expect(formatTable(rows)).toEqual(['A     B  C', '\u001b[31mlong\u001b[39m  x'])
})

test('wide and combining characters stand in their columns', () => {
  const rows = [
    ['WHO', 'TASK'],
    ['山田', 'plan'],
    ['Zoe\u0308', 'plan'],
    ['🚀 bot', 'plan'],
  ]
  expect(formatTable(rows)).toEqual([
    'WHO     TASK',
    '山田    plan',
    'Zoe\u0308     plan',
    '🚀 bot  plan',
  ])
})

test('a terminal too narrow costs the least important columns their ends first', () => {
  expect(formatTable(ROWS, { columns: 60, flexible: [2, 1] })).toEqual([
    'ID                 WHO                   TARGETS',
    'g_01m81tqvs82gk87  somebody of the team  development-api, d…',
  ])
  const narrow = formatTable(ROWS, { columns: 60, flexible: [1, 2] })
  expect(narrow[1]).toBe('g_01m81tqvs82gk87  somebody of…  development-api, dev-db, o…')
  expect(formatTable(ROWS, { columns: Infinity, flexible: [1] })).toEqual(formatTable(ROWS))
})

test('where rows have no room, each is a block', () => {
  expect(formatTable([...ROWS, ['g_2', 'x', '']], { columns: 32, flexible: [1, 2] })).toEqual([
    'g_01m81tqvs82gk87',
    '  who      somebody of the team',
    '  targets  development-api, dev…',
    '',
    'g_2',
    '  who      x',
  ])
})

test('what is narrow by itself stays a table on a narrow terminal', () => {
  const rows = [
    ['A', 'B'],
    ['one', 'two'],
  ]
  expect(formatTable(rows, { columns: 20, flexible: [0] })).toEqual(['A    B', 'one  two'])
})

test('no line is wider than the terminal, whatever is in the cells', () => {
  const cell = fc.string({ unit: 'binary', maxLength: 30 }).map(escapeForDisplay)
  const rows = fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(rows, fc.integer({ min: 20, max: 120 }), (body, columns) => {
      const lines = formatTable([['ID', 'WHO', 'TARGETS'], ...body], { columns, flexible: [2, 1] })
      for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(columns)
    }),
  )
})
