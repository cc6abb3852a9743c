import { describe, expect, it } from 'vitest'
import type { Decision, PolicySet } from '../../src/policy/decide.ts'
import { findObligation } from '../../src/policy/obligations.ts'
import { ownerQuestion } from '../../src/policy/owner.ts'
import type { TaskQuestion } from '../../src/policy/question.ts'
import { agent, question as anyQuestion, context as asked, human, policySet } from './fixtures.ts'

const context = { ...asked, delivery: 'proxy' } as const
const question = (change: Partial<TaskQuestion> = {}) => anyQuestion({ context, ...change })

const PERMITS = `
@id("developers") permit (principal in Group::"shop-devs", action, resource);
@id("copilots") permit (principal is Agent, action, resource);
`

/** An approver set without anybody but the owner forbids: the empty one too. */
const ANOTHER_PERSON = `
@id("copilots-need-another-person")
@description("a copilot in production needs the approval of a person other than its owner")
forbid (principal is Agent, action, resource)
when { resource.tier == "production" && [principal.owner].containsAll(context.approvers) };
`

describe('the question of an agent’s owner', () => {
  it('is the agent’s, asked by the person with their groups', () => {
    const asked = question({ principal: agent })
    expect(ownerQuestion(asked)).toEqual({
      ...asked,
      principal: { kind: 'human', id: human.id, name: human.id, groups: agent.groups },
    })
  })

  it('is none for people and pipelines', () => {
    expect(ownerQuestion(question())).toBeUndefined()
    const principal = { ...human, kind: 'pipeline' } as const
    expect(ownerQuestion(question({ principal }))).toBeUndefined()
  })

  it('is always denied for an agent without an owner', () => {
    const { owner: _, ...orphan } = agent
    const asked = ownerQuestion(question({ principal: orphan }))
    if (!asked) throw new Error('expected a question')
    expect(policySet(PERMITS).decide(asked)).toMatchObject({ effect: 'deny', because: 'error' })
  })

  it('is denied where the owner may not what the agent may', () => {
    const asked = question({ principal: { ...agent, groups: [] } })
    const set = policySet(PERMITS)
    expect(set.decide(asked).effect).toBe('permit')
    expect(set.decide(ownerQuestion(asked) as TaskQuestion).effect).toBe('deny')
  })
})

describe('no agent in production without an approval by a person other than its owner', () => {
  const set = policySet(PERMITS, ANOTHER_PERSON)
  const by = (...approvers: string[]): Decision =>
    set.decide(
      question({
        principal: agent,
        context: { ...context, approvals: ['platform-oncall'], approvers },
      }),
    )
  const search = (policies: PolicySet, approvers: string[] = []) => {
    const asked = question({ principal: agent, context: { ...context, approvers } })
    const { permits } = policies.ask(asked)
    return findObligation({ approvers: ['platform-oncall'], acr: [], permits })
  }

  it.each([
    ['nobody', []],
    ['its owner alone', [human.id]],
  ])('is no with the approval of %s', (_, approvers) => {
    expect(by(...approvers)).toMatchObject({
      because: 'forbidden',
      policies: ['copilots-need-another-person'],
    })
  })

  it.each([
    ['another', ['idp.acme.dev/9']],
    ['the owner and another', [human.id, 'idp.acme.dev/9']],
  ])('is yes with the approval of %s', (_, approvers) => {
    expect(by(...approvers).effect).toBe('permit')
  })

  it('says that an approval is needed, after the owner’s too', () => {
    const expected = { approvals: [{ group: 'platform-oncall', people: 1 }] }
    expect(search(set)).toEqual(expected)
    expect(search(set, [human.id])).toEqual(expected)
  })

  it('asks nothing of people, nor of agents elsewhere', () => {
    expect(set.decide(question()).effect).toBe('permit')
    const elsewhere = question({ principal: agent, task: 'plan', target: 'dev-db' })
    expect(set.decide(elsewhere).effect).toBe('permit')
  })
})
