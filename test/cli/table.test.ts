import { expect, test } from 'vitest'
import { formatTable } from '../../src/cli/table.ts'

test('columns are as wide as their widest cell, colours not counted, without trailing spaces', () => {
  const rows = [
    ['A', 'B', 'C'],
    ['\u001b[31mlong\u001b[39m', 'x', ''],
  ]
  expect(formatTable(rows)).toEqual(['A     B  C', '\u001b[31mlong\u001b[39m  x'])
})

test('a terminal too narrow costs the flexible columns their ends, the widest first', () => {
  const rows = [
    ['ID', 'WHO', 'TARGETS'],
    ['g_01m81tqvs82gk87', 'somebody', 'dev-api, dev-db, other'],
  ]
  expect(formatTable(rows, { columns: 40, flexible: [1, 2] })).toEqual([
    'ID                 WHO       TARGETS',
    'g_01m81tqvs82gk87  somebody  dev-api, d…',
  ])
  expect(formatTable(rows, { columns: 10, flexible: [1, 2] })[1]).toBe(
    'g_01m81tqvs82gk87  someb…  dev-a…',
  )
  expect(formatTable(rows, { columns: Infinity, flexible: [1] })).toEqual(formatTable(rows))
})
