import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { vocabularyOf } from '../../src/broker/config/config.ts'
import { loadConfig } from '../../src/broker/config/load.ts'
import type { PolicySet } from '../../src/policy/decide.ts'
import { loadPolicies } from '../../src/policy/load.ts'
import type { RequestContext } from '../../src/policy/question.ts'
import type { Principal } from '../../src/protocol/principal.ts'
import { targetKinds } from '../../src/targets/kinds.ts'
import { context as anyContext } from './fixtures.ts'

const examples = join(import.meta.dirname, '../../examples/policies')

const person = (...groups: string[]): Principal => ({
  kind: 'human',
  id: 'idp.acme.dev/1',
  name: 'dana@acme.dev',
  groups,
})

const dev = person('shop-devs')
const main = { repository: 'github.com/acme/shop', branch: 'main', commit: 'c0ffee', dirty: false }

const context = (change: Partial<RequestContext> = {}): RequestContext => ({
  ...anyContext,
  claimed: main,
  ...change,
})

describe('the example of a team’s policies', () => {
  let policies: PolicySet
  beforeAll(async () => {
    const config = await loadConfig(join(examples, 'broker.yaml'), targetKinds)
    policies = await loadPolicies(join(examples, 'policies'), vocabularyOf(config))
  })

  const ids = (
    [principal, task, target]: [Principal, string, string],
    change: Partial<RequestContext> = {},
  ) => {
    const { effect, policies: said } = policies.decide({
      principal,
      task,
      target,
      context: context(change),
    })
    return [effect, ...said]
  }

  it('lets developers work freely below production, and plan there', () => {
    expect(ids([dev, 'migrate', 'staging-db'])).toEqual(['permit', 'shop-below-production'])
    expect(ids([dev, 'plan', 'shop-db'])).toEqual(['permit', 'shop-plan-in-production'])
    expect(ids([dev, 'plan', 'shop-db'], { ttl: 3600 })).toEqual(['deny'])
  })

  it('wants on-call for a deployment, two of them for a migration', () => {
    const approved = { approvals: ['platform-oncall'] }
    expect(ids([dev, 'deploy', 'shop-db'])).toEqual(['deny', 'production-changes-need-oncall'])
    expect(ids([dev, 'deploy', 'shop-db'], approved)).toEqual([
      'permit',
      'shop-deploy-in-production',
    ])
    expect(ids([dev, 'migrate', 'shop-db'], approved)).toEqual(['deny', 'migrations-need-two'])
    const twice = { ...approved, approvalsByTwo: ['platform-oncall'] }
    expect(ids([dev, 'migrate', 'shop-db'], twice)).toEqual(['permit', 'shop-deploy-in-production'])
  })

  it('wants a clean main, a fresh sign-in and a working day', () => {
    const approvals = ['platform-oncall']
    const deploy = [dev, 'deploy', 'shop-db'] as [Principal, string, string]
    expect(ids(deploy, { approvals, claimed: { ...main, dirty: true } })).toEqual(['deny'])
    const stale = { ...anyContext.authentication, at: undefined }
    expect(ids(deploy, { approvals, authentication: stale })).toEqual([
      'deny',
      'production-needs-a-fresh-sign-in',
    ])
    const saturday = Date.UTC(2026, 0, 10, 9, 30)
    const authentication = { ...anyContext.authentication, at: saturday }
    expect(ids(deploy, { approvals, authentication, now: saturday })).toEqual([
      'deny',
      'no-deploy-on-weekends',
    ])
  })

  it('opens restricted data for a ticket, a dataset and few rows, with security', () => {
    const asked = { ticket: 'DATA-7', labels: { dataset: 'orders', rows: 100 } }
    const query = [person('data-team'), 'query', 'customers-db'] as [Principal, string, string]
    expect(ids(query, asked)).toEqual(['deny', 'restricted-needs-security'])
    const approvals = ['security']
    expect(ids(query, { ...asked, approvals })).toEqual(['permit', 'data-team-queries-customers'])
    expect(ids(query, { approvals, ticket: 'DATA-7' })).toEqual(['deny'])
  })

  it('keeps copilots below production, and contractors’ out of it', () => {
    const agent: Principal = { ...dev, kind: 'agent', id: 'idp.acme.dev/1/copilot', owner: dev.id }
    expect(ids([agent, 'query', 'dev-db'])).toEqual(['permit', 'copilots-below-production'])
    expect(ids([agent, 'deploy', 'dev-db'])).toEqual(['deny'])
    const theirs = { ...agent, groups: ['shop-devs', 'contractors'] }
    expect(ids([theirs, 'plan', 'shop-db'])).toEqual(['deny', 'contractors-stay-out'])
  })

  it('lets on-call revoke in production, security read the log', () => {
    const grant = {
      id: 'g_1',
      principal: { kind: 'human', id: 'x' },
      environment: 'prod',
      task: 'plan',
      tier: 'production',
    } as const
    const ask = { context: context() }
    const oncall = { ...ask, principal: person('platform-oncall') }
    expect(policies.decideOn({ ...oncall, action: 'revoke', grant }).effect).toBe('permit')
    expect(policies.decideOn({ ...oncall, action: 'audit' }).effect).toBe('deny')
    const security = { ...ask, principal: person('security') }
    expect(policies.decideOn({ ...security, action: 'audit' }).effect).toBe('permit')
    expect(policies.decideOn({ ...security, action: 'view', grant }).effect).toBe('deny')
  })
})
