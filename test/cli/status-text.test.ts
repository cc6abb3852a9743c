import { Chalk } from 'chalk'
import { expect, test } from 'vitest'
import { statusLines } from '../../src/cli/status-text.ts'
import { widthOf } from '../../src/cli/text-width.ts'
import type { Grant } from '../../src/protocol/grant.ts'
import { grantContext } from '../run/requests.ts'

const NOW = Date.UTC(2026, 10, 22, 15, 0, 0)
const DEV = { kind: 'human', id: 'idp/1', name: 'dev', groups: [] } as const

const grant = (id: string, changes: Partial<Grant> = {}): Grant => ({
  id,
  state: 'active',
  principal: { ...DEV, groups: [] },
  environment: 'prod',
  tier: 'production',
  task: 'deploy',
  context: grantContext(),
  requested_at: new Date(NOW - 60_000).toISOString(),
  expires_at: new Date(NOW + 900_000).toISOString(),
  targets: ['shop-db'],
  leases: [],
  ...changes,
})

const linesOf = (grants: Grant[], { here = [] as string[], level = 0 as 0 | 1 } = {}) =>
  statusLines(
    {
      principal: { ...DEV, groups: [] },
      session_expires_at: new Date(NOW + 3_600_000).toISOString(),
      grants,
      here,
      sandboxes: [],
      pending: [],
      approvals: [],
      unacknowledged: [],
    },
    { now: NOW, columns: 80, style: new Chalk({ level }), broker: 'https://jit.acme.dev' },
  )

test('status says who, where and until when, and what runs here or elsewhere, in 80 columns', () => {
  const ids = ['g_01m82j0bvc4af57hayw3y97xk7', 'g_01m82j0bvc4af57hayw3y97xk8'] as const
  const lines = linesOf([grant(ids[0]), grant(ids[1])], { here: [ids[0]] })
  expect(lines[0]).toMatch(
    /^signed in at https:\/\/jit\.acme\.dev as dev until [\d: -]+, for another 1h$/,
  )
  expect(lines[1]).toMatch(/^GRANT +STATE +ENV +TASK +TARGETS +WHERE +LEFT$/)
  expect(lines[2]).toMatch(/active +prod +deploy +shop-db +here +15m$/)
  expect(lines[3]).toMatch(/active +prod +deploy +shop-db +elsewhere +15m$/)
  for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(80)
})

test('whose a grant is is said where it is not all mine', () => {
  const copilot = { ...DEV, kind: 'agent' as const, id: 'idp/1#claude', name: 'claude', groups: [] }
  const [, heading, line] = linesOf([grant('g_1', { principal: copilot })])
  expect(heading).toContain('WHO')
  expect(line).toContain('claude')
})

test('a warning is a sign as well as a colour', () => {
  const soon = grant('g_1', { expires_at: new Date(NOW + 90_000).toISOString() })
  expect(linesOf([soon])[2]).toMatch(/1m 30s !$/)
  expect(linesOf([soon], { level: 1 })[2]).toContain('\u001b[33m1m 30s !\u001b[39m')
})

test('what a target does not confirm is marked', () => {
  const lease = {
    id: 'l',
    target: 'shop-db',
    type: 'postgres',
    handle: 'j1',
    delivery: 'env' as const,
    state: 'revoking' as const,
    revocability: 'hard' as const,
    expires_at: new Date(NOW).toISOString(),
    problem: 'it does not answer',
  }
  expect(linesOf([grant('g_1', { state: 'revoking', leases: [lease] })])[2]).toMatch(/revoking ! /)
})

test('nothing live is said', () => {
  expect(linesOf([]).slice(1)).toEqual(['no live grants'])
})
