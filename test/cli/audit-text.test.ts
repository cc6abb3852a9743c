import { expect, test } from 'vitest'
import { AuditTable } from '../../src/cli/audit-text.ts'
import type { AuditEntry } from '../../src/protocol/audit.ts'

const GRANT = 'g_01m81tqvs82gk87sm3k2nyg4fv'

function entry(event: string, more: Record<string, unknown> = {}): AuditEntry {
  const at = '2026-11-22T14:46:57.885Z'
  const principal = { kind: 'human', id: 'idp/dev', name: 'dev' }
  return { seq: 1, at, event, principal, prev: '', hash: '', ...more }
}

const lines = (...entries: AuditEntry[]) => {
  const table = new AuditTable()
  return entries.map((each) => table.line(each))
}

const ASKED = { environment: 'dev', task: 'plan', targets: ['dev-db'] }

test('each line says when, what, who, which grant, where, at what and with what outcome', () => {
  const revoked = { target: 'dev-db', outcome: 'revoked' }
  expect(
    lines(
      entry('session.opened', { groups: ['a'] }),
      entry('grant.permitted', { grant: GRANT, ...ASKED, ttl: 900 }),
      entry('grant.granted', { grant: GRANT, leases: [{ target: 'dev-db', handle: 'j' }] }),
      entry('grant.ended', { grant: GRANT, ended_by: 'exit', outcome: { code: 3, signal: null } }),
      entry('lease.revoked', { grant: GRANT, principal: null, receipt: revoked }),
    ).map((line) => line.split(/ {2,}/)),
  ).toEqual([
    ['2026-11-22T14:46:57Z', 'session.opened', 'dev', '-', '-', '-'],
    ['2026-11-22T14:46:57Z', 'grant.permitted', 'dev', GRANT, 'dev/plan', 'dev-db', '15m'],
    ['2026-11-22T14:46:57Z', 'grant.granted', 'dev', GRANT, 'dev/plan', 'dev-db'],
    ['2026-11-22T14:46:57Z', 'grant.ended', 'dev', GRANT, 'dev/plan', 'dev-db', 'exit, code 3'],
    ['2026-11-22T14:46:57Z', 'lease.revoked', '-', GRANT, 'dev/plan', 'dev-db', 'revoked'],
  ])
})

test('the sign-in of a pipeline says what it runs and who set it off', () => {
  const signed = { repository: 'github.com/acme/shop', branch: 'main', commit: '4f2a' }
  const [line] = lines(entry('session.opened', { signed, triggered_by: 'dana' }))
  expect(line).toMatch(/ github\.com\/acme\/shop@main, set off by dana$/)
})

test('a denial names its policies and targets', () => {
  const decision = { effect: 'deny', policies: ['needs-oncall'], errors: [] }
  const denied = { targets: ['prod-db'], decisions: [{ target: 'prod-db', decision }] }
  const [line] = lines(entry('grant.denied', { grant: GRANT, environment: 'prod', ...denied }))
  expect(line).toMatch(/prod +prod-db +by needs-oncall$/)
})

test('what a request waits for, and who let it go on, is said', () => {
  const obligation = { approvals: [{ group: 'platform-oncall', people: 2 }] }
  const [pending, approved, acknowledged] = lines(
    entry('grant.pending', { grant: GRANT, ...ASKED, obligation, break_glass: true }),
    entry('grant.approved', { grant: GRANT, groups: ['platform-oncall'], method: 'reauth' }),
    entry('grant.acknowledged', { grant: GRANT, break_glass: true }),
  )
  expect(pending).toMatch(/waits for 2 of platform-oncall, break glass$/)
  expect(approved).toMatch(/dev-db +for platform-oncall, signed in anew$/)
  expect(acknowledged).toMatch(/break glass$/)
})

test('columns start where the heading says, and what a terminal obeys is written out', () => {
  const hostile = { kind: 'human', id: 'x', name: 'e\u001b[2Jve' }
  const table = new AuditTable()
  const line = table.line(entry('session.opened', { principal: hostile }))
  expect(line).not.toContain('\u001b')
  expect(line.indexOf('e\\u{1b}')).toBe(table.heading().indexOf('WHO'))
})

test('an entry of another shape is a line all the same', () => {
  const odd = { grant: GRANT, leases: 'x', receipt: 7, decisions: null, outcome: [], reason: {} }
  expect(lines(entry('lease.something-new', odd))[0]).toContain('lease.something-new')
})

test('a change of context says where the command stands, and a renewal until when it lasts', () => {
  const claimed = { repository: 'github.com/acme/shop', branch: 'x', commit: 'abc', dirty: false }
  const change = (more: object) => entry('grant.context_changed', { grant: GRANT, ...more })
  expect(
    lines(
      change({ claimed, permitted: true }),
      change({ claimed, permitted: false }),
      change({ claimed: { ...claimed, repository: '', branch: '' }, permitted: true }),
      change({ claimed: { repository: '', branch: '', commit: '' }, permitted: true }),
      entry('grant.renewed', { grant: GRANT, expires_at: '2026-11-22T15:02:00.000Z' }),
    ).map((line) => line.split(/ {2,}/).at(-1)),
  ).toEqual([
    'github.com/acme/shop@x',
    'github.com/acme/shop@x, left to the next renewal',
    'abc',
    'nowhere',
    'until 2026-11-22T15:02:00.000Z',
  ])
})

test('a session that somebody signed in to again is told from one that was merely renewed', () => {
  const again = { authenticated_at: '2026-11-22T14:46:57.000Z', acr: 'urn:jit:mfa' }
  expect(
    lines(entry('session.renewed'), entry('session.renewed', again)).map((line) =>
      line.split(/ {2,}/).at(-1),
    ),
  ).toEqual(['-', 'signed in again, urn:jit:mfa'])
})

test('who was offboarded is told, and until when their sign-ins count no more', () => {
  const until = '2026-11-22T14:46:57.000Z'
  const whose = { kind: 'human', id: 'idp.test/u2', name: 'eve' }
  expect(
    lines(
      entry('session.cut_off', { subject: 'idp.test/u2', until }),
      entry('session.ended', { by: 'revoked', whose }),
      entry('grant.not_notified', { hook: 'slack', problem: 'it answered 500' }),
    ).map((line) => line.split(/ {2,}/).at(-1)),
  ).toEqual([`idp.test/u2: sign-ins until ${until}`, 'of eve, revoked', 'slack, it answered 500'])
})

test('a session that was handed on says what it may ask for, a denial what was above that', () => {
  const outside = "task 'deploy': outside what this session was given"
  expect(
    lines(
      entry('session.opened', { ceiling: { tasks: ['plan', 'test'], environments: ['dev'] } }),
      entry('grant.denied', { grant: GRANT, outside, decisions: [] }),
    ).map((line) => line.split(/ {2,}/).at(-1)),
  ).toEqual(['tasks: plan test, environments: dev', outside])
})

test('a sandbox is told with its command, what it may reach and what it was kept from', () => {
  const command = { argv: ['claude', '-p', 'fix it'], directory: '/src', executable: '/bin/claude' }
  const outcomes = lines(
    entry('sandbox.opened', {
      command,
      domains: ['api.anthropic.com'],
      refused: ['evil.example.com'],
      expires_at: '2026-11-22T16:46:57.885Z',
    }),
    entry('sandbox.refused', { host: '169.254.169.254', port: 80, count: 3 }),
    entry('sandbox.refused', { host: 'evil.example.com\u001b[2J', port: 443, count: 1 }),
    entry('sandbox.refused', { more: 12 }),
    entry('sandbox.ended', { by: 'session', session_by: 'revoked' }),
  ).map((line) => line.split(/ {2,}/).at(-1))
  expect(outcomes).toEqual([
    "claude -p 'fix it', reaches api.anthropic.com, not evil.example.com, until 2026-11-22T16:46:57.885Z",
    '169.254.169.254:80, 3 times',
    'evil.example.com\\u{1b}[2J:443',
    '12 more',
    'session',
  ])
})
