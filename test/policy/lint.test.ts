import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inventoryOf } from '../../src/broker/config/config.ts'
import { loadConfig } from '../../src/broker/config/load.ts'
import { DEV_POLICIES } from '../../src/dev/policies.ts'
import { lint } from '../../src/policy/lint.ts'
import { loadPolicies, parsePolicies } from '../../src/policy/load.ts'
import type { Inventory } from '../../src/policy/vocabulary.ts'
import { targetKinds } from '../../src/targets/kinds.ts'
import { EXAMPLE, vocabulary } from './fixtures.ts'

const ttl = { default: 900, max: 3600 }
const inventory: Inventory = {
  ...vocabulary,
  groups: [...vocabulary.groups, 'security'],
  approvers: ['platform-oncall', 'security'],
  tasks: ['plan', 'deploy', 'train'],
  abilities: {
    'dev-db': { tasks: ['plan', 'deploy'], proxied: true, ttl },
    'shop-db': { tasks: ['plan', 'deploy'], proxied: true, ttl },
  },
}

const APPROVE =
  '@id("approve") permit (principal is Human in Group::"platform-oncall", action == Action::"approve", resource);'

const warnings = (text: string, change: Partial<Inventory> = {}) => {
  const content = `${APPROVE}\n${text}`
  const all = { ...inventory, ...change }
  const found = lint(parsePolicies([{ name: 'a.cedar', content }], all), all)
  return found.map(({ rule, policy, at }) => `${rule} ${policy} ${at}`)
}

const permit = (scope: string, rest = '') => `@id("p")\npermit (${scope}) ${rest};`
const ANYONE = 'principal, action, resource'
const PRODUCTION = 'when { resource.tier == "production" }'

it.each(['minimal.yaml', 'full.yaml'])('warns of nothing in examples/broker/%s', async (name) => {
  const file = join(import.meta.dirname, '../../examples/broker', name)
  const config = await loadConfig(file, targetKinds)
  const all = inventoryOf(config)
  expect(lint(await loadPolicies(config.policies, all), all)).toEqual([])
})

it('warns of nothing in the policies of jit dev', () => {
  const target = (environment: string) =>
    ({ environment, sensitivity: 'internal', type: 'token' }) as const
  const tasks = ['plan', 'deploy', 'migrate']
  const all: Inventory = {
    ...inventory,
    approvers: ['platform-oncall'],
    tasks,
    environments: { ...inventory.environments, staging: { tier: 'staging' } },
    targets: {
      'dev-db': target('dev'),
      'staging-db': target('staging'),
      'prod-db': target('prod'),
    },
    abilities: {
      'dev-db': { tasks, proxied: true, ttl },
      'staging-db': { tasks, proxied: true, ttl },
      'prod-db': { tasks, proxied: true, ttl },
    },
  }
  expect(lint(parsePolicies(DEV_POLICIES, all), all)).toEqual([])
})

describe('a permit that is of no use', () => {
  it.each([
    [
      'a tier and an environment that exclude each other',
      `principal in Group::"shop-devs", action, resource in Environment::"dev"`,
      PRODUCTION,
    ],
    [
      'what is never so',
      'principal in Group::"shop-devs", action, resource',
      'when { resource.type == "postgres" && !(resource.type == "postgres") }',
    ],
  ])('because of %s never applies', (_, scope, rest) => {
    expect(warnings(permit(scope, rest))).toEqual(['never-applies p a.cedar:2'])
  })

  it('names a task that no target it is about has', () => {
    const group = 'principal in Group::"shop-devs"'
    expect(warnings(permit(`${group}, action == Action::"train", resource`))).toEqual([
      'no-target p a.cedar:2',
    ])
    const some = permit(`${group}, action in [Action::"plan", Action::"train"], resource`)
    expect(warnings(some)).toEqual(['no-target p a.cedar:2'])
    expect(warnings(permit(`${group}, action, resource`))).toEqual([])
  })

  it('is shadowed by a forbid that nothing gets past', () => {
    const group = 'principal in Group::"shop-devs"'
    const closed =
      '@id("f") forbid (principal, action, resource) when { resource.tier == "production" };'
    const inProduction = permit(`${group}, action, resource == Target::"shop-db"`)
    expect(warnings(`${inProduction}\n${closed}`)).toEqual(['shadowed p a.cedar:2'])
    expect(warnings(`${permit(`${group}, action, resource`)}\n${closed}`)).toEqual([])
    const theirs = `@id("f") forbid (${group}, action, resource);`
    expect(warnings(`${inProduction}\n${theirs}`)).toEqual(['shadowed p a.cedar:2'])
    const others = '@id("f") forbid (principal in Group::"jit-admins", action, resource);'
    expect(warnings(`${inProduction}\n${others}`)).toEqual([])
    const unless = closed.replace(';', ' unless { context.breakGlass };')
    expect(warnings(`${inProduction}\n${unless}`)).toEqual([])
  })

  it('lets no copilot in where there is no proxy and it does not name the delivery', () => {
    const abilities = {
      'dev-db': { tasks: ['plan'], proxied: false, ttl },
      'shop-db': { tasks: ['plan'], proxied: true, ttl },
    }
    const some = (scope: string, rest?: string) => warnings(permit(scope, rest), { abilities })
    const inDev = 'principal is Agent, action == Action::"plan", resource in Environment::"dev"'
    expect(some(inDev)).toEqual(['unnamed-delivery p a.cedar:2'])
    expect(some(inDev, 'when { context.delivery == "env" }')).toEqual([])
    expect(some('principal is Agent, action == Action::"plan", resource')).toEqual([])
    const anyone = 'principal in Group::"shop-devs", action == Action::"plan", resource'
    expect(some(anyone)).toEqual([])
  })

  it('is not looked for where nothing is configured yet', () => {
    const nothing = { targets: {}, abilities: {} }
    expect(warnings(permit('principal, action, resource'), nothing)).toEqual([])
  })
})

describe('a permit on production', () => {
  it.each([
    ['anybody', ANYONE, ''],
    ['any person', 'principal is Human, action, resource in Environment::"prod"', ''],
    [
      'whoever claims a repository',
      ANYONE,
      'when { context.claimed.repository == "github.com/acme/shop" }',
    ],
    [
      'whoever gives a reason',
      ANYONE,
      `${PRODUCTION} when { context.reason != "" && context.ttl < 900 }`,
    ],
    ['everybody but a few', ANYONE, 'unless { principal in Group::"shop-devs" }'],
    [
      'whoever breaks the glass',
      ANYONE,
      `${PRODUCTION} when { context.breakGlass || context.approvals.contains(Group::"platform-oncall") }`,
    ],
  ])('for %s has no guard', (_, scope, rest) => {
    expect(warnings(permit(scope, rest))).toEqual(['unguarded-production p a.cedar:2'])
  })

  it.each([
    ['a group', 'principal in Group::"shop-devs", action, resource', ''],
    [
      'a group in its condition',
      ANYONE,
      'when { principal in Group::"shop-devs" && context.reason != "" }',
    ],
    [
      'a copilot’s owner',
      'principal is Agent, action, resource',
      'when { principal.owner in Group::"shop-devs" }',
    ],
    ['a person by id', 'principal == Human::"idp/1", action, resource', ''],
    ['an approval', ANYONE, 'when { context.approvals.contains(Group::"platform-oncall") }'],
    [
      'an approval by two',
      ANYONE,
      'when { context.approvalsByTwo.containsAny([Group::"platform-oncall"]) }',
    ],
    ['a sign-in', ANYONE, 'when { context.authentication.age <= 3600 }'],
    ['a strong sign-in', ANYONE, 'when { context.authentication.acr == "mfa" }'],
    [
      'what an issuer signed',
      'principal is Pipeline, action, resource',
      'when { context.repository == "github.com/acme/shop" }',
    ],
    ['a tier', ANYONE, 'when { resource.tier == "development" }'],
    ['a sensitivity', ANYONE, 'when { ["public", "internal"].contains(resource.sensitivity) }'],
  ])('is guarded by %s', (_, scope, rest) => {
    expect(warnings(permit(scope, rest))).toEqual([])
  })

  it('is guarded by a forbid that covers it, and by none that lets most through', () => {
    const [, forbid = ''] = EXAMPLE.split('\n\n')
    expect(warnings(`${permit(ANYONE)}\n${forbid}`)).toEqual([])
    const some = '@id("f") forbid (principal in Group::"security", action, resource);'
    expect(warnings(`${permit(ANYONE)}\n${some}`)).toEqual(['unguarded-production p a.cedar:2'])
    const elsewhere = forbid.replace('production" }', 'development" }')
    expect(warnings(`${permit(ANYONE)}\n${elsewhere}`)).toHaveLength(1)
  })

  it('for copilots is guarded where their owners are', () => {
    const copilots = permit('principal is Agent, action, resource')
    expect(warnings(copilots)).toEqual([])
    const owners = '@id("o") permit (principal is Human in Group::"shop-devs", action, resource);'
    expect(warnings(`${copilots}\n${owners}`)).toEqual([])
    const anybody = '@id("o") permit (principal is Human, action, resource);'
    expect(warnings(`${copilots}\n${anybody}`)).toEqual([
      'unguarded-production p a.cedar:2',
      'unguarded-production o a.cedar:4',
    ])
  })

  it('may be meant: a policy accepts a rule by name', () => {
    const meant = permit(ANYONE).replace('\n', ' @accept("unguarded-production")\n')
    expect(warnings(meant)).toEqual([])
    expect(warnings(meant.replace('unguarded-production', 'shadowed'))).toHaveLength(1)
  })
})

describe('an approval that a policy wants', () => {
  const wants = (group: string) =>
    `@id("f") forbid (principal, action, resource) unless { context.approvals.contains(Group::"${group}") };`

  it('is of a group that can be asked, and that may approve', () => {
    expect(warnings(wants('platform-oncall'))).toEqual([])
    expect(warnings(wants('shop-devs'))).toEqual(['unaskable-approval f a.cedar:2'])
    expect(warnings(wants('security'))).toEqual(['nobody-approves f a.cedar:2'])
  })
})
