import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { answerOf } from '../../src/policy/answer.ts'
import type { Decision, PolicySet } from '../../src/policy/decide.ts'
import { parsePolicies } from '../../src/policy/load.ts'
import { findObligation, type Hypothesis, suppose } from '../../src/policy/obligations.ts'
import { type ParsedPolicy, parsePolicy } from '../../src/policy/parsed.ts'
import type { PolicyTexts } from '../../src/policy/prepared.ts'
import type { TaskQuestion } from '../../src/policy/question.ts'
import { taskCall } from '../../src/policy/request.ts'
import { TaskPolicies, textsById } from '../../src/policy/task-policies.ts'
import type { Vocabulary } from '../../src/policy/vocabulary.ts'
import { agent, context, EXAMPLE, human, vocabulary as one, question } from './fixtures.ts'

const vocabulary: Vocabulary = {
  ...one,
  groups: [...one.groups, 'security'],
  approvers: ['platform-oncall', 'security'],
  acr: ['mfa'],
}
const { approvers, acr } = vocabulary

const policySet = (...texts: string[]) =>
  parsePolicies([{ name: 'a.cedar', content: texts.join('\n') }], vocabulary)

const obligationOf = (set: PolicySet, asked: TaskQuestion = question()) => {
  const { permits } = set.ask(asked)
  return findObligation({ approvers, acr, permits })
}

describe('a decision under a hypothesis', () => {
  const conditions = fc.constantFrom(
    'context.ttl > 0',
    'context.approvals.contains(Group::"platform-oncall")',
    'context.approvals.contains(Group::"security")',
    'context.approvalsByTwo.contains(Group::"platform-oncall")',
    'context.approvals.containsAny([Group::"shop-devs", Group::"security"])',
    'context.approvals.containsAll(context.approvalsByTwo)',
    'context.approvalsByTwo.containsAll([Group::"platform-oncall"])',
    'context.approvals.isEmpty()',
    'context.approvers.isEmpty()',
    'context.approvers == [Human::"idp.acme.dev/9"]',
    'context.approvers.containsAll([Human::"idp.acme.dev/9"])',
    'principal in context.approvals',
    'context.approvers.contains(Human::"idp.acme.dev/9")',
    '[Human::"idp.acme.dev/9"].containsAll(context.approvers)',
    'context.authentication.age <= 900',
    'context.authentication.acr == "mfa"',
    '(if context.ttl > 5 then context else context).approvals.contains(Group::"security")',
    '{ at: context.authentication }.at.age < 100',
    'context has authentication.acr && context.authentication.acr == "mfa"',
    'context.reason == ""',
    'context.labels has gpus && context.labels.gpus > 4',
    'resource.tier == "production"',
    'context.delivery == "env"',
    'context.delivery != "proxy" && context.ttl > 0',
    // These two fail: always, and unless the sign-in is fresh.
    'context.ttl * 9223372036854775807 > 0',
    'context.authentication.age * 9223372036854775 > 0',
  )
  const policy = fc
    .record({
      // Permits more often, so that there is something to forbid.
      effect: fc.constantFrom('permit', 'permit', 'forbid'),
      principal: fc.constantFrom('', ' is Human', ' in Group::"shop-devs"', ' is Agent'),
      action: fc.constantFrom('', ' == Action::"deploy"', ' == Action::"plan"'),
      resource: fc.constantFrom('', ' in Environment::"prod"', ' == Target::"dev-db"'),
      when: fc.array(conditions, { minLength: 1, maxLength: 2 }),
      unless: fc.option(conditions),
    })
    .map(
      ({ effect, principal, action, resource, when, unless }) =>
        `${effect} (principal${principal}, action${action}, resource${resource}) ` +
        `when { ${when.map((condition) => `(${condition})`).join(' && ')} }` +
        `${unless === null ? '' : ` unless { ${unless} }`};`,
    )
  const approved = fc.constantFrom(
    {},
    { approvals: ['platform-oncall'], approvers: ['idp.acme.dev/9'] },
    { approvals: ['security'], approvalsByTwo: ['security'], approvers: ['a/1', 'a/2'] },
  )
  const signedIn = fc.constantFrom(
    context.authentication,
    { ...context.authentication, at: undefined },
    { ...context.authentication, acr: 'mfa', at: context.now - 1000 },
  )

  /** Policies that can never apply are refused by `parsePolicies`; they change nothing. */
  const parsed = (texts: string[]) =>
    texts.map((text, at) =>
      parsePolicy({ file: '', text: `@id("p${at}") ${text}`, firstLine: 1 }, vocabulary),
    )
  /** Cedar's answer to the whole set at once. */
  const whole = (texts: PolicyTexts, asked: TaskQuestion): Decision =>
    answerOf(texts, () => taskCall(asked, vocabulary))
  /** That; for an agent's environment, of the set without the permits that don't name it. */
  const expectedOf = (policies: readonly ParsedPolicy[]) => {
    const counting = policies.filter(
      ({ json, source }) => json.effect === 'forbid' || source.text.includes('context.delivery'),
    )
    const [undivided, restricted] = [textsById(policies), textsById(counting)]
    return (asked: TaskQuestion): Decision => {
      const answer = whole(undivided, asked)
      const named = asked.principal.kind !== 'agent' || asked.context.delivery !== 'env'
      if (named || answer.effect === 'deny') return answer
      const decision = whole(restricted, asked)
      if (decision.effect === 'permit') return decision
      return { effect: 'deny', because: 'unnamed-delivery', policies: [], errors: [] }
    }
  }
  const sorted = (decision: Decision) =>
    decision.effect === 'permit'
      ? decision
      : { ...decision, errors: [...new Set(decision.errors)].sort() }

  it('is the answer of the whole set in that context, whatever was asked before', () => {
    fc.assert(
      fc.property(
        fc.array(policy, { minLength: 1, maxLength: 6 }),
        approved,
        signedIn,
        fc.constantFrom(human, agent),
        fc.constantFrom('shop-db', 'dev-db'),
        fc.constantFrom('env', 'proxy'),
        // Evaluated together, or in parts.
        fc.constantFrom(100, 0),
        (texts, approvals, authentication, principal, target, delivery, few) => {
          const policies = parsed(texts)
          const expected = expectedOf(policies)
          const set = new TaskPolicies(policies, { vocabulary, few })
          const now = { ...context, ...approvals, authentication, delivery } as const
          const asked = question({ principal, target, context: now })
          const { decision, under, permits } = set.ask(asked)
          expect(sorted(decision)).toEqual(sorted(expected(asked)))
          const same = (hypothesis: Hypothesis) => {
            const then = expected({ ...asked, context: suppose(now, hypothesis) })
            expect(permits(hypothesis)).toBe(then.effect === 'permit')
            expect(sorted(under(hypothesis))).toEqual(sorted(then))
            return false
          }
          findObligation({ approvers, acr, permits: same })
        },
      ),
      { numRuns: 30 },
    )
  })
})

describe('the obligation that turns a denial', () => {
  const strict = policySet(
    EXAMPLE,
    `@id("migrations-need-two") forbid (principal, action, resource in Environment::"prod")
     when { context.reason == "migrate" }
     unless { context.approvalsByTwo.contains(Group::"platform-oncall") };`,
    `@id("weekends-need-security") forbid (principal, action, resource)
     when { context.time.weekday >= 6 }
     unless { context.approvals.contains(Group::"security") };`,
    `@id("fresh") forbid (principal, action, resource in Environment::"prod")
     when { context.authentication.age > 28800 };`,
    `@id("strong") forbid (principal, action, resource in Environment::"prod")
     when { context.ticket == "STRONG" }
     unless { context.authentication.acr == "mfa" };`,
    `@id("never") forbid (principal, action, resource) when { context.reason == "never" };`,
  )
  const one = (group: string) => ({ group, people: 1 })
  const two = (group: string) => ({ group, people: 2 })
  const saturday = Date.UTC(2026, 0, 10, 9, 30)
  const old = { ...context.authentication, at: undefined }

  it.each([
    ['an approval', {}, { approvals: [one('platform-oncall')] }],
    ['two people', { reason: 'migrate' }, { approvals: [two('platform-oncall')] }],
    [
      'two groups',
      { now: saturday, authentication: { ...old, at: saturday } },
      { approvals: [one('platform-oncall'), one('security')] },
    ],
    [
      'two people and one of another group',
      { now: saturday, authentication: { ...old, at: saturday }, reason: 'migrate' },
      { approvals: [two('platform-oncall'), one('security')] },
    ],
    [
      'a sign-in beside an approval that is there',
      { authentication: old, approvals: ['platform-oncall'] },
      { sign_in: { max_age: 60, acr_values: [] }, approvals: [] },
    ],
    [
      'a stronger sign-in beside an approval that is there',
      { ticket: 'STRONG', approvals: ['platform-oncall'] },
      { sign_in: { max_age: 60, acr_values: ['mfa'] }, approvals: [] },
    ],
    [
      'both',
      { authentication: old },
      { sign_in: { max_age: 60, acr_values: [] }, approvals: [one('platform-oncall')] },
    ],
    [
      'two people still, where one of them has approved',
      { reason: 'migrate', approvals: ['platform-oncall'], approvers: ['idp.acme.dev/9'] },
      { approvals: [two('platform-oncall')] },
    ],
  ])('is %s', (_, change, expected) => {
    const asked = question({ context: { ...context, ...change } })
    expect(obligationOf(strict, asked)).toEqual(expected)
  })

  it('is none where a policy forbids it in any context, or nothing permits it', () => {
    const never = question({ context: { ...context, reason: 'never' } })
    expect(obligationOf(strict, never)).toBeUndefined()
    expect(obligationOf(strict, question({ task: 'plan' }))).toBeUndefined()
  })

  it('is an approval as well where a policy permits only with one', () => {
    const set = policySet(
      `@id("p") permit (principal, action, resource)
       when { context.approvals.contains(Group::"security") };`,
    )
    expect(obligationOf(set)).toEqual({ approvals: [one('security')] })
  })

  it('is none where a policy fails in any context', () => {
    const set = policySet(
      EXAMPLE,
      `@id("fails") forbid (principal, action, resource)
       when { context.ttl * 9223372036854775807 > 0 };`,
    )
    expect(obligationOf(set)).toBeUndefined()
  })
})

describe('many policies', () => {
  const target = (at: number) => (at % 2 === 0 ? 'dev-db' : 'shop-db')
  const set = policySet(
    EXAMPLE,
    ...Array.from(
      { length: 200 },
      (_, at) =>
        `@id("p${at}") permit (principal, action, resource == Target::"${target(at)}") when { context.ttl == ${at} };`,
    ),
    `@id("freeze") forbid (principal, action, resource == Target::"dev-db") when { context.reason == "freeze" };`,
  )

  it('are decided as one set, those that name another target included', () => {
    const ask = (at: number, name: string, reason = '') =>
      set.decide(question({ task: 'plan', target: name, context: { ...context, ttl: at, reason } }))
    expect(ask(42, 'dev-db')).toEqual({ effect: 'permit', policies: ['p42'] })
    expect(ask(41, 'dev-db')).toMatchObject({ because: 'not-permitted' })
    expect(ask(41, 'shop-db')).toMatchObject({ policies: ['production-needs-oncall'] })
    expect(ask(42, 'dev-db', 'freeze')).toMatchObject({ policies: ['freeze'] })
    expect(ask(42, 'nope')).toMatchObject({ because: 'error' })
  })

  it('are searched for an obligation as one set', () => {
    const asked = question({ task: 'plan', context: { ...context, ttl: 41 } })
    expect(obligationOf(set, asked)).toEqual({
      approvals: [{ group: 'platform-oncall', people: 1 }],
    })
  })
})
