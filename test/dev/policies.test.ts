import { describe, expect, it } from 'vitest'
import { DEV_POLICIES } from '../../src/dev/policies.ts'
import { parsePolicies } from '../../src/policy/load.ts'
import type { RequestContext } from '../../src/policy/question.ts'
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

  it.each([dev, lead, admin])('let $name do every task in dev and staging', (principal) => {
    for (const task of vocabulary.tasks) {
      for (const target of ['dev-api', 'staging-api']) {
        const decision = policies.decide({ principal, task, target, context })
        expect(decision.effect).toBe('permit')
      }
    }
  })

  it.each([dev, lead, admin])('keep $name from production until it is approved', (principal) => {
    const question = { principal, task: 'deploy', target: 'prod-api', context }
    expect(policies.decide(question)).toMatchObject({
      because: 'forbidden',
      policies: ['production-needs-oncall'],
    })
    const approved = { ...context, approvals: ['platform-oncall'] }
    expect(policies.decide({ ...question, context: approved }).effect).toBe('permit')
  })

  it('let admins alone audit, see and revoke', () => {
    const grant = {
      id: 'g_1',
      principal: { kind: 'human', id: dev.id },
      environment: 'prod',
      task: 'deploy',
      tier: 'production',
    } as const
    for (const [principal, effect] of [
      [dev, 'deny'],
      [lead, 'deny'],
      [admin, 'permit'],
    ] as const) {
      const as = { principal, context }
      expect(policies.decideOn({ ...as, action: 'audit' }).effect).toBe(effect)
      expect(policies.decideOn({ ...as, action: 'view', grant }).effect).toBe(effect)
      expect(policies.decideOn({ ...as, action: 'revoke', grant }).effect).toBe(effect)
    }
  })
})
