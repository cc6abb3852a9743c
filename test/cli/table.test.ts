import { expect, test } from 'vitest'
import { formatTable } from '../../src/cli/table.ts'

test('columns are as wide as their widest cell, colours not counted, without trailing spaces', () => {
  const rows = [
    ['A', 'B', 'C'],
    ['\u001b[31mlong\u001b[39m', 'x', ''],
  ]
  expect(formatTable(rows)).toEqual(['A     B  C', '\u001b[31mlong\u001b[39m  x'])
})
