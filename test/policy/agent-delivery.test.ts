import { describe, expect, it } from 'vitest'
import { describeDenial } from '../../src/policy/denial.ts'
import { explain } from '../../src/policy/explain.ts'
import { findObligation } from '../../src/policy/obligations.ts'
import type { RequestContext } from '../../src/policy/question.ts'
import type { Principal } from '../../src/protocol/principal.ts'
import { agent, context, human, policySet, question } from './fixtures.ts'

const PEOPLE = '@id("people") permit (principal is Human, action, resource);'
const permit = (rest: string, effect = 'permit') =>
  `@id("p") ${effect} (principal is Agent, action, resource) ${rest};`

const asked = (
  principal: Principal,
  delivery: RequestContext['delivery'],
  change: Partial<RequestContext> = {},
) => question({ principal, target: 'dev-db', context: { ...context, ...change, delivery } })

/** What an agent gets for its environment by this permit alone. */
const inEnvironment = (rest: string) => policySet(PEOPLE, permit(rest)).decide(asked(agent, 'env'))

describe('a permit for the environment of an agent', () => {
  it.each([
    ['without conditions', ''],
    ['that asks for something else', 'when { resource.tier == "development" }'],
    ['that asks whether there is a delivery', 'when { context has delivery }'],
    ['with the word in a string', 'when { context.reason != "context.delivery" }'],
    ['with another attribute of that name', 'when { !({ delivery: "env" }.delivery == "proxy") }'],
  ])('counts for nothing %s', (_, rest) => {
    expect(inEnvironment(rest)).toEqual({
      effect: 'deny',
      because: 'unnamed-delivery',
      policies: [],
      errors: [],
    })
  })

  it.each([
    'when { context.delivery == "env" }',
    'when { resource.tier == "development" && (context.delivery == "env" || context.ttl < 60) }',
    'when { ["env", "proxy"].contains(context.delivery) }',
    'when { context["delivery"] != "proxy" }',
    'unless { context.delivery == "proxy" }',
    'when { if context.delivery == "env" then true else false }',
  ])('counts with %s', (rest) => {
    expect(inEnvironment(rest)).toEqual({ effect: 'permit', policies: ['p'] })
  })

  it('has to hold, beside naming the delivery', () => {
    const named = 'when { context.delivery == "proxy" }'
    expect(inEnvironment(named)).toMatchObject({ because: 'not-permitted' })
  })

  it('is not told among those that permit where only another counts', () => {
    const named =
      '@id("named") permit (principal is Agent, action, resource) when { context.delivery == "env" };'
    const decision = policySet(PEOPLE, permit(''), named).decide(asked(agent, 'env'))
    expect(decision).toEqual({ effect: 'permit', policies: ['named'] })
  })

  it('is of no account to a forbid', () => {
    const decision = policySet(
      PEOPLE,
      permit('', 'forbid'),
      '@id("q") permit (principal, action, resource);',
    )
    expect(decision.decide(asked(agent, 'env'))).toMatchObject({
      because: 'forbidden',
      policies: ['p'],
    })
  })

  it('is asked of no proxy, of no person and of no pipeline', () => {
    const set = policySet('@id("all") permit (principal, action, resource);')
    expect(set.decide(asked(agent, 'proxy')).effect).toBe('permit')
    expect(set.decide(asked(human, 'env')).effect).toBe('permit')
    expect(set.decide(asked({ ...human, kind: 'pipeline' }, 'env')).effect).toBe('permit')
  })

  it('counts among many policies as among few', () => {
    const idle = Array.from(
      { length: 150 },
      (_, at) =>
        `@id("i${at}") permit (principal, action, resource) when { context.ttl == ${at} };`,
    )
    const ask = (ttl: number, ...more: string[]) =>
      policySet(...idle, ...more).decide(asked(agent, 'env', { ttl }))
    expect(ask(42)).toMatchObject({ because: 'unnamed-delivery' })
    expect(ask(900)).toMatchObject({ because: 'not-permitted' })
    expect(ask(42, permit('when { context.delivery == "env" }')).effect).toBe('permit')
  })
})

describe('what would turn it', () => {
  const obligation = (...texts: string[]) => {
    const { permits } = policySet(PEOPLE, ...texts).ask(asked(agent, 'env'))
    return findObligation({ approvers: ['platform-oncall'], acr: [], permits })
  }

  it('is nothing where no permit names the delivery', () => {
    expect(obligation(permit(''))).toBeUndefined()
  })

  it('is what a permit asks for that names it', () => {
    const approved =
      'when { context.delivery == "env" && context.approvals.contains(Group::"platform-oncall") }'
    const expected = { approvals: [{ group: 'platform-oncall', people: 1 }] }
    const unnamed = '@id("u") permit (principal, action, resource);'
    expect(obligation(permit(approved))).toEqual(expected)
    expect(obligation(permit(approved), unnamed)).toEqual(expected)
  })
})

describe('the denial', () => {
  const set = policySet(PEOPLE, '@id("copilots") permit (principal is Agent, action, resource);')

  it('says what it takes', () => {
    const denial = set.decide(asked(agent, 'env'))
    if (denial.effect === 'permit') throw new Error('permitted')
    expect(describeDenial(denial, { subject: 'plan', policies: set })).toBe(
      'plan: an agent is given credentials in its environment only by a permit that names context.delivery',
    )
  })

  it('is explained with the permits that would do for a proxy', () => {
    const { answers, decision } = explain(
      {
        kind: 'task',
        principal: agent,
        environment: 'dev',
        task: 'deploy',
        targets: ['dev-db'],
        deliveries: { 'dev-db': 'env' },
        context,
      },
      set,
    )
    expect(decision).toBe('deny')
    expect(answers[0]).toMatchObject({
      delivery: 'env',
      because: 'unnamed-delivery',
      policies: [],
      near: [{ id: 'copilots', unmet: [] }],
    })
    expect(answers[1]).toMatchObject({ asked: 'owner', effect: 'permit' })
  })
})
