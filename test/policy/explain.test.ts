import { describe, expect, it } from 'vitest'
import { explain } from '../../src/policy/explain.ts'
import type { Stated } from '../../src/policy/stated-request.ts'
import { agent, context, EXAMPLE, human, policySet } from './fixtures.ts'

const deploy = (change: Partial<Extract<Stated, { kind: 'task' }>> = {}): Stated => ({
  kind: 'task',
  principal: human,
  environment: 'prod',
  task: 'deploy',
  targets: ['shop-db'],
  deliveries: { 'shop-db': 'env' },
  context,
  ...change,
})

const MORE = `
@id("dev") permit (principal is Human in Group::"shop-devs", action, resource in Environment::"dev");
@id("big") @description("many GPUs take a model and a ticket")
permit (principal is Human in Group::"jit-admins", action == Action::"plan", resource == Target::"shop-db")
when { context.labels has gpus && context.labels.gpus > 4 && context.ticket like "T-*" }
unless { context.claimed.dirty || context.claimed.branch == "wip" };
@id("ci") permit (principal is Pipeline, action == Action::"plan", resource) when { context.repository == "r" };
@id("bots") permit (principal is Agent, action == Action::"deploy", resource) when { principal.owner in Group::"shop-devs" };
@id("oncall-approves") permit (principal in Group::"platform-oncall", action == Action::"approve", resource) when { context.method == "reauth" };
`
const set = policySet(EXAMPLE, MORE)

describe('an explanation', () => {
  it('names the policy that forbids, what it reads and what would turn it', () => {
    expect(explain(deploy(), set)).toEqual({
      version: set.version,
      decision: 'obligation',
      obligation: { approvals: [{ group: 'platform-oncall', people: 1 }] },
      then_permitted: ['shop-deploy'],
      answers: [
        {
          target: 'shop-db',
          asked: 'principal',
          delivery: 'env',
          effect: 'deny',
          because: 'forbidden',
          policies: [
            {
              id: 'production-needs-oncall',
              effect: 'forbid',
              description: 'production needs the approval of platform-oncall',
              attributes: { 'context.approvals': [], 'resource.tier': 'production' },
            },
          ],
          near: [],
        },
      ],
    })
  })

  it('names the policy that permits, and the values that it saw', () => {
    const approved = { ...context, approvals: ['platform-oncall'] }
    const { decision, answers } = explain(deploy({ context: approved }), set)
    expect(decision).toBe('permit')
    expect(answers[0]?.policies).toEqual([
      {
        id: 'shop-deploy',
        effect: 'permit',
        attributes: {
          'context.claimed.repository': 'github.com/acme/shop',
          principal: human.id,
          'principal.groups': ['shop-devs'],
          resource: 'shop-db',
        },
      },
    ])
  })

  it('of a request that nothing permits says what the nearest permits lack, and no more', () => {
    const asked = {
      ...context,
      labels: { gpus: 2 },
      claimed: { ...context.claimed, branch: 'wip' },
    }
    const approved = { ...asked, approvals: ['platform-oncall'] }
    const { answers } = explain(deploy({ task: 'plan', context: approved }), set)
    expect(answers[0]).toMatchObject({ because: 'not-permitted', policies: [] })
    expect(answers[0]?.near).toEqual([
      {
        id: 'big',
        description: 'many GPUs take a model and a ticket',
        unmet: [
          {
            condition: 'principal in Group::"jit-admins"',
            attributes: { 'principal.groups': ['shop-devs'] },
          },
          { condition: 'context.labels.gpus > 4', attributes: { 'context.labels.gpus': 2 } },
          { condition: 'context.ticket like "T-*"', attributes: { 'context.ticket': '' } },
          {
            condition: 'unless context.claimed.branch == "wip"',
            attributes: { 'context.claimed.branch': 'wip' },
          },
        ],
      },
    ])
  })

  it('names a label that is missing, not the condition that couldn’t be evaluated without it', () => {
    const asked = { ...context, ticket: 'T-1', approvals: ['platform-oncall'] }
    const admin = { ...human, groups: ['jit-admins'] }
    const stated = deploy({ principal: admin, task: 'plan', context: asked })
    expect(explain(stated, set).answers[0]?.near[0]?.unmet).toEqual([
      { condition: 'context.labels has gpus', attributes: { 'context.labels.gpus': null } },
    ])
  })

  it('of a copilot has two answers, its own and its owner’s', () => {
    const outsider = { ...agent, groups: [] }
    const asked = { ...context, approvals: ['platform-oncall'] }
    const { answers } = explain(deploy({ principal: outsider, context: asked }), set)
    expect(answers.map(({ asked, near }) => [asked, near.map(({ id }) => id)])).toEqual([
      ['principal', ['bots']],
      ['owner', ['shop-deploy']],
    ])
  })

  it('is there for the broker’s own actions', () => {
    const grant = {
      id: 'g',
      principal: human,
      environment: 'prod',
      task: 'deploy',
      tier: 'production',
    }
    const question = {
      principal: human,
      action: 'approve',
      method: 'session',
      grant,
      context,
    } as const
    const { decision, answers } = explain({ kind: 'built-in', question }, set)
    expect(decision).toBe('deny')
    expect(answers[0]?.near[0]).toMatchObject({
      id: 'oncall-approves',
      unmet: [
        { condition: 'principal in Group::"platform-oncall"' },
        { condition: 'context.method == "reauth"', attributes: { 'context.method': 'session' } },
      ],
    })
  })

  it('says no more of a question that can’t be put', () => {
    const { decision, answers } = explain(deploy({ targets: ['nope'] }), set)
    expect(decision).toBe('deny')
    expect(answers).toMatchObject([{ because: 'error', policies: [], near: [] }])
  })
})
