import { Chalk } from 'chalk'
import { expect, test } from 'vitest'
import { elevationReport } from '../../src/cli/elevation-report.ts'
import type { Io } from '../../src/cli/io.ts'
import type { Requested } from '../../src/client/asking.ts'
import { systemClock } from '../../src/lib/clock.ts'

const REQUESTED: Requested = {
  type: 'requested',
  grant: 'g_1',
  environment: 'dev',
  tier: 'development',
  task: 'deploy',
  targets: ['dev-api', 'dev-db'],
  ttl: 900,
}

type Report = ReturnType<typeof elevationReport>

function said(
  noteColumns: number,
  env: Record<string, string> = {},
  say = (report: Report) => report.requested(REQUESTED),
): string[] {
  const notes: string[] = []
  const io = {
    note: (line: string) => notes.push(line),
    noteColumns,
    style: new Chalk({ level: 0 }),
  } as unknown as Io
  const claimed = { repository: 'github.com/acme/shop', branch: 'main', commit: '', dirty: false }
  say(elevationReport({ io, env, clock: systemClock }, { claimed, quiet: false }))
  return notes
}

test('what is asked for stands on one line where it fits, in two columns', () => {
  expect(said(Infinity)).toEqual([
    `● ${'dev · deploy · github.com/acme/shop@main'.padEnd(51)} asks for dev-api, dev-db · 15m`,
  ])
})

test('a narrow terminal gets a line for each', () => {
  expect(said(60)).toEqual([
    '● dev · deploy · github.com/acme/shop@main',
    '  asks for dev-api, dev-db · 15m',
  ])
})

test('within another grant it says within which', () => {
  expect(said(Infinity, { JIT_GRANT: 'g_0' })[0]).toMatch(/15m · within g_0$/)
})

test('what is granted says what revoking does, and what the command only uses by proxy', () => {
  const credential = (target: string) => ({
    ...{ lease: 'l', target, type: 'token', handle: 'j', renewable: false, env: {}, unset: [] },
    revocability: 'hard' as const,
    expires_at: '2026-11-22T14:47:00Z',
  })
  const upstream = { kind: 'http', url: 'https://api.test', token: 'canary' } as const
  const credentials = [credential('dev-api'), { ...credential('dev-db'), upstream }]
  const granted = {
    ...{ grant: 'g_1', resume_secret: 's', grace: 10, expires_at: '2026-11-22T14:47:00Z' },
    ...{ type: 'granted' as const, credentials },
  }
  const [line = ''] = said(Infinity, {}, (report) => report.granted(granted))
  expect(line).toMatch(/dev-api: hard · dev-db: hard, by proxy$/)
  expect(line).not.toContain('canary')
})
