import { beforeAll, describe, expect, test } from 'vitest'
import { absent, needsSandbox, SANDBOX } from '../absent.ts'
import { ESCAPES } from './escapes.ts'
import { redTeam } from './redteam.ts'
import { printed, type Row } from './referee.ts'

let rows: Row[]

const names = (some: readonly Row[]) =>
  some.map(({ way, inside }) => `${way.name}: ${inside.detail}`)

describe.skipIf(absent(...SANDBOX))(needsSandbox, () => {
  beforeAll(async () => {
    rows = await redTeam()
    process.stdout.write(`${printed(rows)}\n`)
  }, 240_000)

  test('a hostile copilot in a sandbox gets out in none of its ways', () => {
    expect(names(rows.filter(({ inside }) => inside.verdict === 'succeeded'))).toEqual([])
  })

  test('every way is tried in the sandbox, in CI without exception', () => {
    const untried = ({ inside: { verdict } }: Row) =>
      verdict === '–' || (verdict === 'missing' && Boolean(process.env.CI))
    expect(names(rows.filter(untried))).toEqual([])
  })

  test('outside, the same program gets at what needs no trick: the attempts bite', () => {
    const blunt = rows.filter(
      ({ way, outside }) => way.plain && !['succeeded', 'missing'].includes(outside.verdict),
    )
    expect(blunt.map(({ way, outside }) => `${way.name}: ${outside.detail}`)).toEqual([])
  })

  test('no two ways go by one name', () => {
    const all = Object.values(ESCAPES).flatMap((escapes) => escapes.map(({ name }) => name))
    expect(all.length).toBe(new Set(all).size)
  })
})
