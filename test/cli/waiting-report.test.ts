import { Chalk } from 'chalk'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Io } from '../../src/cli/io.ts'
import { waitingReport } from '../../src/cli/waiting-report.ts'
import type { Pending } from '../../src/client/asking.ts'
import { approvalBy } from '../run/requests.ts'

const ONE: Pending['obligation'] = { approvals: [{ group: 'platform-oncall', people: 1 }] }
const SIGN_IN = { ...ONE, sign_in: { max_age: 300, acr_values: [] } }

// A whole minute: what is told in minutes doesn't turn in the midst of a test.
beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 10, 22, 12) }))
afterEach(() => void vi.useRealTimers())

const pending = (obligation = ONE): Pending => ({
  type: 'pending',
  grant: 'g_1',
  obligation,
  policies: [],
  lapses_at: new Date(Date.now() + 1_800_000).toISOString(),
})
const approved = (...names: string[]) =>
  ({ type: 'approved', grant: 'g_1', approvals: names.map(approvalBy) }) as const

/** A report on a terminal, or elsewhere; what it said, and what is drawn at the moment. */
function reporting({
  live,
  quiet = false,
  columns = 120,
}: {
  live: boolean
  quiet?: boolean
  columns?: number
}) {
  const said: string[] = []
  const screen = { drawn: '' }
  const io = {
    live,
    noteColumns: live ? columns : Infinity,
    style: new Chalk({ level: 0 }),
    note: (line: string) => said.push(line),
    redraw: (line: string) => {
      screen.drawn = line
    },
  } as unknown as Io
  const clock = { now: () => Date.now(), monotonic: () => Date.now() }
  const say = (symbol: string, left: string, right: string) =>
    void (quiet || said.push(`${symbol} ${left}  ${right}`.trimEnd()))
  return { said, screen, io, report: waitingReport({ io, env: {}, clock }, { say, quiet }) }
}

test('elsewhere than on a terminal there is a line, and one each minute', () => {
  const { said, report } = reporting({ live: false })
  report.pending(pending())
  report.pending(pending())
  expect(said).toEqual([
    expect.stringMatching(/^⧗ waiting for platform-oncall +jit approve g_1 · /),
  ])
  vi.advanceTimersByTime(125_000)
  expect(said.slice(1)).toEqual([
    '⧗ still waiting for platform-oncall (1m)',
    '⧗ still waiting for platform-oncall (2m)',
  ])
  report.waited()
  vi.advanceTimersByTime(600_000)
  expect(said).toHaveLength(3)
})

test('on a terminal the time that passed is drawn, and nothing is left in the end', () => {
  const { said, screen, report } = reporting({ live: true })
  report.pending(pending())
  vi.advanceTimersByTime(72_400)
  expect(screen.drawn).toMatch(/^[⧗⧖] waiting for platform-oncall … 1m 12s/)
  report.approved(approved('dana'))
  expect(screen.drawn).toBe('')
  expect(said).toEqual(['✓ approved by dana  after 1m 12s'])
})

test('a terminal too narrow for both is told once above the line how to approve', () => {
  const { said, screen, report } = reporting({ live: true, columns: 80 })
  report.pending(pending())
  vi.advanceTimersByTime(5000)
  report.pending(pending())
  expect(screen.drawn).toMatch(/^[⧗⧖] waiting for platform-oncall … 5s$/)
  expect(said).toEqual([expect.stringMatching(/^ {2}jit approve g_1 · lapses \d\d:\d\d$/)])
})

test('in the background nothing is drawn, and after fg it goes on', () => {
  const { said, screen, io, report } = reporting({ live: true })
  Object.assign(io, { live: false, noteColumns: 80 })
  report.pending(pending())
  vi.advanceTimersByTime(61_000)
  expect(screen.drawn).toBe('')
  expect(said).toEqual([
    '⧗ waiting for platform-oncall',
    expect.stringMatching(/^ {2}jit approve g_1 · lapses \d\d:\d\d$/),
    '⧗ still waiting for platform-oncall (1m)',
  ])
  Object.assign(io, { live: true, noteColumns: 120 })
  vi.advanceTimersByTime(9000)
  expect(screen.drawn).toMatch(/^[⧗⧖] waiting for platform-oncall … 1m 10s/)
})

test('of two approvers each is told once, counted from the beginning', () => {
  const { said, report } = reporting({ live: true })
  report.pending(pending())
  vi.advanceTimersByTime(10_000)
  report.approved(approved('dana'))
  report.pending(pending())
  vi.advanceTimersByTime(50_000)
  report.approved(approved('dana', 'kim'))
  expect(said).toEqual(['✓ approved by dana  after 10s', '✓ approved by kim  after 1m'])
})

test('the line makes room when the person has to sign in again', () => {
  const { screen, report } = reporting({ live: true })
  report.pending(pending())
  report.pending(pending(SIGN_IN))
  vi.advanceTimersByTime(10_000)
  expect(screen.drawn).toBe('')
})

test('--quiet draws and says nothing', () => {
  const { said, screen, report } = reporting({ live: true, quiet: true })
  report.pending(pending())
  vi.advanceTimersByTime(100_000)
  report.approved(approved('dana'))
  expect({ said, ...screen }).toEqual({ said: [], drawn: '' })
})
