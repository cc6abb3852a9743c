import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { ESCAPES } from './escapes.ts'

const SECURITY = resolve(import.meta.dirname, '../../docs/security.md')

test('docs/security.md has every area of the red team, with the number of its ways', () => {
  const rows = [...readFileSync(SECURITY, 'utf8').matchAll(/^\| (\w+) +\| (\d+) +\| (\d+) +\|/gm)]
  const told = rows
    .map(([, area = '', ways, plain]) => [area, Number(ways), Number(plain)])
    .filter(([area]) => Object.hasOwn(ESCAPES, String(area)))
  const real = Object.entries(ESCAPES).map(([area, ways]) => [
    area,
    ways.length,
    ways.filter(({ plain }) => plain).length,
  ])
  expect(told).toEqual(real)
})
