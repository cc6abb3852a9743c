import { expect, test } from 'vitest'
import { parseLabels } from '../../src/cli/labels.ts'

test('labels are text after =, numbers and booleans after :=', () => {
  expect(
    parseLabels(['model=small', 'n:=-3', 'dry:=true', 'year=2026', 'q=a=b:=c', 'empty=']),
  ).toEqual({
    model: 'small',
    n: -3,
    dry: true,
    year: '2026',
    q: 'a=b:=c',
    empty: '',
  })
})

test.each(['model', '=x', 'n:=x', 'n:=1.5', ':=1'])("'%s' is a usage error", (label) => {
  expect(() => parseLabels([label])).toThrow(expect.objectContaining({ code: 'usage' }))
})

test('a label is given once', () => {
  expect(() => parseLabels(['a=1', 'a=2'])).toThrow('given twice')
})
