import { describe, expect, it } from 'vitest'
import { describeDenial } from '../../src/policy/denial.ts'
import type { Principal } from '../../src/protocol/principal.ts'
import { agent, context, EXAMPLE, human, policySet, question } from './fixtures.ts'

const permitWhen = (condition: string) =>
  policySet(`@id("p") permit (principal, action, resource) when { ${condition} };`)

const effect = (condition: string, change = {}) =>
  permitWhen(condition).decide(question(change)).effect

describe('a decision on a task', () => {
  it('is no, naming the forbid, until the group approved', () => {
    const set = policySet(EXAMPLE)
    expect(set.decide(question())).toEqual({
      effect: 'deny',
      because: 'forbidden',
      policies: ['production-needs-oncall'],
      errors: [],
    })
    const approved = { context: { ...context, approvals: ['platform-oncall'] } }
    expect(set.decide(question(approved))).toEqual({ effect: 'permit', policies: ['shop-deploy'] })
  })

  it('is no where no policy permits', () => {
    expect(policySet(EXAMPLE).decide(question({ task: 'plan', target: 'dev-db' }))).toEqual({
      effect: 'deny',
      because: 'not-permitted',
      policies: [],
      errors: [],
    })
  })

  it('is no when any policy fails, though another permits', () => {
    const set = policySet(
      '@id("yes") permit (principal, action, resource);',
      '@id("overflows") forbid (principal, action, resource) when { context.ttl * 9223372036854775807 > 0 };',
    )
    const decision = set.decide(question())
    expect(decision).toMatchObject({ effect: 'deny', because: 'error', policies: ['overflows'] })
  })

  it.each([
    ['a target nobody declared', { target: 'nope' }],
    ['a name every object has', { target: 'constructor' }],
    ['a task nobody declared', { task: 'drop' }],
    ['a built-in action in the place of a task', { task: 'audit' }],
    ['a principal of no known kind', { principal: { ...human, kind: 'robot' as 'human' } }],
    ['a principal without an id', { principal: { ...human, id: '' } }],
    ['an agent without an owner', { principal: { ...agent, owner: '' } }],
    ['a ttl that is no whole number', { context: { ...context, ttl: 1.5 } }],
    ['a ttl past what can be told exactly', { context: { ...context, ttl: 2 ** 63 } }],
    ['a label nobody declared', { context: { ...context, labels: { nope: 'x' } } }],
    ['a label of another type', { context: { ...context, labels: { gpus: '8' } } }],
    ['a label that is no whole number', { context: { ...context, labels: { gpus: Number.NaN } } }],
    ['a reason that is no Unicode text', { context: { ...context, reason: '\ud800' } }],
    ['a context that is none', { context: undefined as never }],
  ])('is no for %s', (_, change) => {
    const set = policySet('@id("yes") permit (principal, action, resource);')
    expect(set.decide(question(change))).toMatchObject({ effect: 'deny', because: 'error' })
  })

  it.each([
    ['resource in Environment::"prod" && resource.sensitivity == "confidential"'],
    ['resource.type == "postgres" && context.delivery == "env"'],
    ['context.claimed.branch == "main" && context.branch == "" && !context.claimed.dirty'],
    ['context.command.program == "terraform" && context.command.arguments.contains("apply")'],
    ['context.time.hour == 9 && context.time.weekday == 1 && context.time.unix == 1767605400'],
    ['context.authentication.age == 1800 && context.authentication.amr.contains("pwd")'],
    ['context.ttl == 900 && context.approvals.isEmpty() && context.approvers.isEmpty()'],
    ['principal in Group::"shop-devs" || principal is Pipeline'],
  ])('sees %s', (condition) => {
    expect(effect(condition)).toBe('permit')
  })

  it('sees labels by their types, and asks with `has`', () => {
    const condition =
      'context.labels has gpus && context.labels.gpus > 4 && context.labels has nightly && context.labels.nightly'
    expect(effect(condition)).toBe('deny')
    const labels = { gpus: 8, nightly: true, model: 'm' }
    expect(effect(condition, { context: { ...context, labels } })).toBe('permit')
  })

  it('takes a sign-in of unknown time for an old one', () => {
    const unknown = { ...context, authentication: { ...context.authentication, at: undefined } }
    expect(effect('context.authentication.age < 3600')).toBe('permit')
    expect(effect('context.authentication.age < 3600', { context: unknown })).toBe('deny')
  })

  it('keeps an agent out of the groups of its person', () => {
    const asAgent = { principal: agent, context: { ...context, delivery: 'proxy' as const } }
    expect(effect('principal in Group::"shop-devs"', asAgent)).toBe('deny')
    const owner = 'principal is Agent && principal.owner in Group::"shop-devs"'
    expect(effect(owner, asAgent)).toBe('permit')
    expect(effect(owner)).toBe('deny')
  })

  it('never takes a claim for what an issuer signed', () => {
    expect(effect('context.repository == "github.com/acme/shop"')).toBe('deny')
  })

  it('stays the same while many sets are in use', () => {
    const sets = Array.from({ length: 20 }, (_, index) =>
      policySet(`@id("p${index}") permit (principal, action, resource);`),
    )
    for (const _ of [1, 2]) {
      for (const [index, set] of sets.entries()) {
        expect(set.decide(question())).toEqual({ effect: 'permit', policies: [`p${index}`] })
      }
    }
  })
})

describe('a decision on others’ grants and the audit log', () => {
  const set = policySet(
    '@id("all") permit (principal, action, resource);',
    '@id("admins") permit (principal in Group::"jit-admins", action in [Action::"view", Action::"audit"], resource);',
    '@id("oncall") permit (principal in Group::"platform-oncall", action == Action::"revoke", resource in Environment::"prod") when { resource.kind == "agent" };',
  )
  const grant = {
    id: 'g_1',
    principal: { kind: 'agent', id: agent.id },
    environment: 'prod',
    task: 'deploy',
    tier: 'production',
  } as const
  const as = (group: string) => ({ principal: { ...human, groups: [group] }, context })

  it('is for those that a policy names it to; permitting any action means any task', () => {
    expect(set.decideOn({ ...as('shop-devs'), action: 'audit' }).effect).toBe('deny')
    expect(set.decideOn({ ...as('jit-admins'), action: 'audit' }).effect).toBe('permit')
    expect(set.decideOn({ ...as('jit-admins'), action: 'view', grant }).effect).toBe('permit')
    expect(set.decideOn({ ...as('jit-admins'), action: 'revoke', grant }).effect).toBe('deny')
  })

  it('sees whose grant it is and where', () => {
    const oncall = { ...as('platform-oncall'), action: 'revoke' } as const
    expect(set.decideOn({ ...oncall, grant }).effect).toBe('permit')
    expect(set.decideOn({ ...oncall, grant: { ...grant, environment: 'dev' } }).effect).toBe('deny')
    const theirs = { ...grant, principal: { kind: 'human', id: human.id } } as const
    expect(set.decideOn({ ...oncall, grant: theirs }).effect).toBe('deny')
  })
})

describe('a decision on offboarding somebody', () => {
  const set = policySet(
    '@id("admins") permit (principal in Group::"jit-admins", action == Action::"offboard", resource);',
    '@id("leads") permit (principal in Group::"platform-oncall", action == Action::"offboard", resource in Group::"shop-devs");',
    '@id("own-copilots") permit (principal is Human, action == Action::"offboard", resource is Agent) when { resource.owner == principal };',
    '@id("revokers") permit (principal is Human, action == Action::"revoke", resource);',
  )
  const may = (group: string, whom: Principal) => {
    const principal = { ...human, groups: [group] }
    return set.decideOn({ principal, action: 'offboard', whom, context }).effect
  }
  const somebody: Principal = { kind: 'human', id: 'idp.test/u9', name: 'zoe', groups: [] }

  it('sees who it is, and their groups', () => {
    expect(may('jit-admins', somebody)).toBe('permit')
    expect(may('platform-oncall', { ...somebody, groups: ['shop-devs'] })).toBe('permit')
    expect(may('platform-oncall', somebody)).toBe('deny')
  })

  it('is not given by leave to revoke grants', () => {
    expect(may('all-staff', somebody)).toBe('deny')
  })

  it('knows whose copilot it is', () => {
    expect(may('all-staff', agent)).toBe('permit')
    expect(may('all-staff', { ...agent, owner: somebody.id })).toBe('deny')
  })
})

describe('a denial in words', () => {
  const words = (policies: ReturnType<typeof policySet>, change = {}) => {
    const decision = policies.decide(question(change))
    if (decision.effect === 'permit') throw new Error('expected a denial')
    return describeDenial(decision, { subject: 'deploy at shop-db', policies })
  }

  it('names the policies and what their authors say', () => {
    expect(words(policySet(EXAMPLE))).toBe(
      'deploy at shop-db: forbidden by policy production-needs-oncall (production needs the approval of platform-oncall)',
    )
    expect(words(permitWhen('context.ttl < 5'))).toBe('deploy at shop-db: no policy permits it')
  })

  it('keeps what went wrong inside a policy to the log', () => {
    const set = permitWhen('context.ttl * 9223372036854775807 > 0')
    expect(words(set)).toBe('deploy at shop-db: policy p could not be decided')
  })
})
