import { describe, expect, it } from 'vitest'
import { DEV_POLICIES } from '../../src/dev/policies.ts'
import { parsePolicies } from '../../src/policy/load.ts'
import { findObligation } from '../../src/policy/obligations.ts'
import { ownerQuestion } from '../../src/policy/owner.ts'
import type { RequestContext, TaskQuestion } from '../../src/policy/question.ts'
import type { Vocabulary } from '../../src/policy/vocabulary.ts'
import type { Principal } from '../../src/protocol/principal.ts'

const vocabulary: Vocabulary = {
  groups: ['platform-oncall', 'jit-admins'],
  approvers: ['platform-oncall'],
  acr: [],
  environments: {
    dev: { tier: 'development' },
    staging: { tier: 'staging' },
    prod: { tier: 'production' },
  },
  tasks: ['plan', 'deploy', 'migrate'],
  targets: {
    'dev-api': { environment: 'dev', sensitivity: 'internal', type: 'token' },
    'staging-api': { environment: 'staging', sensitivity: 'internal', type: 'token' },
    'prod-api': { environment: 'prod', sensitivity: 'confidential', type: 'token' },
  },
  labels: {},
}

const account = (name: string, ...groups: string[]): Principal => ({
  kind: 'human',
  id: `127.0.0.1/${name}`,
  name,
  groups,
})
const dev = account('dev')
const lead = account('lead', 'platform-oncall')
const admin = account('admin', 'jit-admins', 'platform-oncall')

const copilotOf = (owner: Principal): Principal => ({
  ...owner,
  kind: 'agent',
  id: `${owner.id}#jit-agent`,
  name: 'copilot',
  owner: owner.id,
})
const pipeline: Principal = { ...lead, kind: 'pipeline', id: 'ci/1', name: 'ci' }

/** In a folder that is no repository. */
const context: RequestContext = {
  signed: { repository: '', branch: '', commit: '' },
  claimed: { repository: '', branch: '', commit: '', dirty: false },
  command: { argv: ['true'], directory: '/', executable: '/bin/true' },
  reason: '',
  breakGlass: false,
  ticket: '',
  labels: {},
  ttl: 900,
  delivery: 'env',
  authentication: { acr: '', amr: [], at: undefined },
  now: 0,
}

describe('the policies of the development control plane', () => {
  const policies = parsePolicies(DEV_POLICIES, vocabulary)
  const oncall = { approvals: [{ group: 'platform-oncall', people: 1 }] }

  const ask = (principal: Principal, task: string, change: Partial<RequestContext> = {}) => {
    const asked = { principal, task, target: 'prod-api', context: { ...context, ...change } }
    const { decision, permits } = policies.ask(asked)
    const obligation = findObligation({ approvers: vocabulary.approvers, acr: [], permits })
    return { effect: decision.effect, policies: decision.policies, obligation }
  }
  const approvedBy = (...people: Principal[]) => ({
    approvals: ['platform-oncall'],
    approvers: people.map(({ id }) => id),
  })

  it.each([dev, lead, admin, copilotOf(dev)])(
    'let $name do every task in dev and staging',
    (principal) => {
      for (const task of vocabulary.tasks) {
        for (const target of ['dev-api', 'staging-api']) {
          const asked: TaskQuestion = { principal, task, target, context }
          expect(policies.decide(asked).effect).toBe('permit')
          const owners = ownerQuestion(asked)
          if (owners) expect(policies.decide(owners).effect).toBe('permit')
        }
      }
    },
  )

  it.each([dev, lead, admin])(
    'let $name change production with the approval of one on call',
    (principal) => {
      for (const task of ['deploy', 'migrate']) {
        expect(ask(principal, task)).toEqual({
          effect: 'deny',
          policies: ['production-needs-oncall'],
          obligation: oncall,
        })
        expect(ask(principal, task, approvedBy(admin)).effect).toBe('permit')
      }
    },
  )

  it('let people plan in production with a reason, which no approval stands for', () => {
    expect(ask(dev, 'plan')).toEqual({
      effect: 'deny',
      policies: ['production-plan-needs-a-reason'],
      obligation: undefined,
    })
    expect(ask(dev, 'plan', { reason: 'looking' }).effect).toBe('permit')
  })

  it('let a copilot into production when somebody other than its person approves', () => {
    const copilot = copilotOf(lead)
    const reason = 'asked to'
    for (const task of vocabulary.tasks) {
      expect(ask(copilot, task, { reason }).obligation).toEqual(oncall)
      const own = ask(copilot, task, { reason, ...approvedBy(lead) })
      expect(own).toMatchObject({
        effect: 'deny',
        policies: ['copilots-need-another-person'],
        obligation: oncall,
      })
      expect(ask(copilot, task, { reason, ...approvedBy(admin) }).effect).toBe('permit')
      expect(ask(copilot, task, { reason, ...approvedBy(lead, admin) }).effect).toBe('permit')
    }
  })

  it('let those on call break the glass, with a reason', () => {
    const emergency = { breakGlass: true, reason: 'shop is down' }
    expect(ask(lead, 'deploy', emergency).effect).toBe('permit')
    expect(ask(lead, 'deploy', { breakGlass: true })).toMatchObject({
      policies: ['break-glass-is-for-oncall'],
      obligation: undefined,
    })
    const elsewhere = { principal: lead, task: 'deploy', target: 'staging-api' }
    const decision = policies.decide({ ...elsewhere, context: { ...context, ...emergency } })
    expect(decision.policies).toEqual(['break-glass-is-for-oncall'])
  })

  it.each([
    ['people who are not on call', dev],
    ['the copilot of one who is', copilotOf(lead)],
    ['a pipeline', pipeline],
  ])('never let %s break the glass, approved or not', (_, principal) => {
    const emergency = { breakGlass: true, reason: 'shop is down' }
    for (const change of [emergency, { ...emergency, ...approvedBy(admin) }]) {
      const { effect, policies: named, obligation } = ask(principal, 'deploy', change)
      expect([effect, obligation]).toEqual(['deny', undefined])
      expect(named).toContain('break-glass-is-for-oncall')
    }
  })

  it('permit nothing to pipelines', () => {
    for (const target of Object.keys(vocabulary.targets)) {
      const change = { reason: 'ci', ...approvedBy(admin) }
      const asked = {
        principal: pipeline,
        task: 'plan',
        target,
        context: { ...context, ...change },
      }
      expect(policies.decide(asked)).toMatchObject({ because: 'not-permitted' })
    }
  })

  it('let those on call approve by their session, admins alone audit, see and revoke', () => {
    const grant = {
      id: 'g_1',
      principal: { kind: 'human', id: dev.id },
      environment: 'prod',
      task: 'deploy',
      tier: 'production',
    } as const
    const method = 'session'
    for (const [principal, approve, rest] of [
      [dev, 'deny', 'deny'],
      [lead, 'permit', 'deny'],
      [admin, 'permit', 'permit'],
      [copilotOf(lead), 'deny', 'deny'],
      [pipeline, 'deny', 'deny'],
    ] as const) {
      const as = { principal, context }
      expect(policies.decideOn({ ...as, action: 'approve', grant, method }).effect).toBe(approve)
      expect(policies.decideOn({ ...as, action: 'audit' }).effect).toBe(rest)
      expect(policies.decideOn({ ...as, action: 'view', grant }).effect).toBe(rest)
      expect(policies.decideOn({ ...as, action: 'revoke', grant }).effect).toBe(rest)
    }
  })
})
