import { describe, expect, it } from 'vitest'
import { parsePolicy } from '../../src/policy/parsed.ts'
import { vocabulary } from './fixtures.ts'

const sees = (condition: string) => {
  const text = `@id("p") permit (principal, action, resource) when { ${condition} };`
  const { sight } = parsePolicy({ file: '', text, firstLine: 1 }, vocabulary)
  if (!sight) return 'nothing'
  const { signIn, anyone, everyone, groups, groupsByTwo } = sight
  return [
    ...(signIn ? ['sign-in'] : []),
    ...(anyone ? ['anyone'] : []),
    ...(everyone ? ['everyone'] : []),
    ...groups,
    ...[...groupsByTwo].map((group) => `two of ${group}`),
  ].join(', ')
}

describe('of a hypothesis, a policy sees', () => {
  it.each([
    ['context.ttl < 900 && context.claimed.branch == "context.approvals"', 'nothing'],
    ['{ approvals: context.reason }.approvals == "x"', 'nothing'],
    ['context has labels.model && context.labels.model == "x"', 'nothing'],
    ['context.authentication.age < 900', 'sign-in'],
    ['context.approvals.contains(Group::"platform-oncall")', 'platform-oncall'],
    ['context.approvalsByTwo.contains(Group::"jit-admins")', 'two of jit-admins'],
    [
      'context.approvals.containsAny([Group::"platform-oncall", Group::"jit-admins"])',
      'platform-oncall, jit-admins',
    ],
    ['[principal].containsAll(context.approvers)', 'anyone'],
    ['principal in context.approvals', 'everyone'],
    ['[Group::"jit-admins"].containsAll(context.approvals)', 'everyone'],
    ['context has approvals.x', 'everyone'],
    ['context == context', 'sign-in, everyone'],
    ['{ all: context }.all.approvals.contains(Group::"jit-admins")', 'sign-in, everyone'],
    ['(if true then context else context).ttl > 5', 'sign-in, everyone'],
  ])('in %s: %s', (condition, expected) => {
    expect(sees(condition)).toBe(expected)
  })
})
