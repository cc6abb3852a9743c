import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findObligation, type Hypothesis, suppose } from '../../src/policy/obligations.ts'
import { context } from './fixtures.ts'

const approvers = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const acr = ['w', 'x', 'y', 'z']

describe('the context of a hypothesis', () => {
  it('is today’s where nothing is supposed', () => {
    const same = { ...context, approvals: [], approvalsByTwo: [], approvers: [] }
    expect(suppose(context, { approvals: [] })).toEqual(same)
  })

  it('has a sign-in of a minute ago, in the authentication context that was asked for', () => {
    const { at, acr, amr } = suppose(context, {
      signIn: { acr: 'phr' },
      approvals: [],
    }).authentication
    expect([context.now - (at ?? 0), acr, amr]).toEqual([60_000, 'phr', ['pwd']])
    const before = { ...context, authentication: { ...context.authentication, acr: 'kept' } }
    const any = suppose(before, { signIn: { acr: '' }, approvals: [] })
    expect(any.authentication.acr).toBe('kept')
  })

  it('has approvals by people whom nobody can be, beside those that are there', () => {
    const before = { ...context, approvals: ['a'], approvers: ['idp.acme.dev/9'] }
    const then = suppose(before, {
      approvals: [
        { group: 'a', people: 2 },
        { group: 'b', people: 1 },
      ],
    })
    expect(then.approvals).toEqual(['a', 'b'])
    expect(then.approvalsByTwo).toEqual(['a'])
    expect(then.approvers).toEqual(['idp.acme.dev/9', '?/a/1', '?/a/2', '?/b/1'])
  })
})

describe('the smallest obligation', () => {
  const found = (permits: (hypothesis: Hypothesis) => boolean) =>
    findObligation({ approvers: ['a', 'b'], acr: ['mfa'], permits })

  const people = ({ approvals }: Hypothesis, group: string) =>
    approvals.find((approval) => approval.group === group)?.people ?? 0

  it.each<[string, (hypothesis: Hypothesis) => boolean, unknown]>([
    ['any sign-in', (h) => h.signIn !== undefined, { sign_in: { max_age: 60, acr_values: [] } }],
    [
      'a stronger sign-in',
      (h) => h.signIn?.acr === 'mfa',
      { sign_in: { max_age: 60, acr_values: ['mfa'] } },
    ],
    ['one person', (h) => people(h, 'b') > 0, { approvals: [{ group: 'b', people: 1 }] }],
    ['two people', (h) => people(h, 'b') === 2, { approvals: [{ group: 'b', people: 2 }] }],
    [
      'one of each of two groups',
      (h) => people(h, 'a') > 0 && people(h, 'b') > 0,
      {
        approvals: [
          { group: 'a', people: 1 },
          { group: 'b', people: 1 },
        ],
      },
    ],
    [
      'one of one group and two of another',
      (h) => people(h, 'a') > 0 && people(h, 'b') === 2,
      {
        approvals: [
          { group: 'a', people: 1 },
          { group: 'b', people: 2 },
        ],
      },
    ],
    [
      'two of each of two groups',
      (h) => people(h, 'a') === 2 && people(h, 'b') === 2,
      {
        approvals: [
          { group: 'a', people: 2 },
          { group: 'b', people: 2 },
        ],
      },
    ],
    [
      'a sign-in and an approval',
      (h) => h.signIn !== undefined && people(h, 'b') > 0,
      { sign_in: { max_age: 60, acr_values: [] }, approvals: [{ group: 'b', people: 1 }] },
    ],
  ])('is %s', (_, permits, expected) => {
    expect(found(permits)).toEqual({ approvals: [], ...(expected as object) })
  })

  it('is none where nothing helps, found in a bounded number of questions', () => {
    const asked = new Set<string>()
    let times = 0
    const permits = (hypothesis: Hypothesis) => {
      times++
      asked.add(JSON.stringify(hypothesis))
      return false
    }
    expect(findObligation({ approvers, acr, permits })).toBeUndefined()
    expect([times, asked.size]).toEqual([773, 773])
    times = 0
    findObligation({ approvers: ['a', 'b'], acr: [], permits })
    expect(times).toBe(17)
  })

  it('is never more than what was needed', () => {
    const one = fc.record({ group: fc.constantFrom(...approvers), people: fc.constantFrom(1, 2) })
    const needed = fc.uniqueArray(one, { maxLength: 2, selector: ({ group }) => group })
    fc.assert(
      fc.property(needed, fc.boolean(), (wanted, signIn) => {
        fc.pre(signIn || wanted.length > 0)
        const obligation = findObligation({
          approvers,
          acr,
          permits: (h) =>
            (!signIn || h.signIn !== undefined) &&
            wanted.every(({ group, people: least }) => people(h, group) >= least),
        })
        expect(new Set(obligation?.approvals)).toEqual(new Set(wanted))
        expect(obligation?.sign_in).toEqual(signIn ? { max_age: 60, acr_values: [] } : undefined)
      }),
    )
  })
})
