import { describe, expect, it } from 'vitest'
import { runCase } from '../../src/policy/case-run.ts'
import { readCases } from '../../src/policy/cases.ts'
import { coverageOf } from '../../src/policy/coverage.ts'
import { parsePolicies } from '../../src/policy/load.ts'
import type { Inventory } from '../../src/policy/vocabulary.ts'
import { EXAMPLE, vocabulary } from './fixtures.ts'

const ttl = { default: 900, max: 3600 }
const inventory: Inventory = {
  ...vocabulary,
  acr: ['mfa'],
  abilities: {
    'dev-db': { tasks: ['plan', 'deploy'], proxied: true, ttl },
    'shop-db': { tasks: ['deploy'], proxied: true, ttl: { default: 600, max: 1800 } },
  },
}

const policies = parsePolicies(
  [
    {
      name: 'a.cedar',
      content: `${EXAMPLE}
@id("plans") permit (principal, action == Action::"plan", resource) when { context.labels has gpus && context.time.weekday == 1 };
@id("mfa") forbid (principal, action == Action::"plan", resource) when { context.authentication.acr != "mfa" };
@id("ci") permit (principal is Pipeline, action == Action::"deploy", resource) when { context.repository != "" };
@id("copilots") permit (principal is Agent, action == Action::"plan", resource);
@id("oncall-approves") permit (principal in Group::"platform-oncall", action == Action::"approve", resource) when { context.method == "reauth" };
`,
    },
  ],
  inventory,
)

const PRINCIPALS = `
principals:
  dana: { groups: [shop-devs] }
  olga: { groups: [platform-oncall], id: idp/7 }
  copilot: { kind: agent, owner: dana }
  ci: { kind: pipeline }
`

const read = (cases: string) =>
  readCases(`${PRINCIPALS}${cases}`, 'a.cases.yaml', { inventory, policies })

const one = (fields: string) => {
  const [found] = read(`cases: [{ name: it, ${fields} }]`)
  if (!found) throw new Error('no case')
  return found
}
const problems = (fields: string) => runCase(one(fields), policies).problems

const deploy = 'principal: dana, task: deploy, environment: prod'
const SHOP = 'claimed: { repository: github.com/acme/shop }'

describe('a case', () => {
  it('that comes as expected has no problem', () => {
    expect(problems(`${deploy}, expect: deny`)).toEqual([])
    const obligation = '{ approvals: { platform-oncall: 1 }, policies: [production-needs-oncall] }'
    expect(problems(`${deploy}, context: { ${SHOP} }, expect: ${obligation}`)).toEqual([])
    const approved = `context: { ${SHOP}, approvals: { platform-oncall: [olga] } }`
    expect(problems(`${deploy}, ${approved}, expect: permit`)).toEqual([])
    expect(problems('principal: copilot, task: plan, environment: dev, expect: deny')).toEqual([])
  })

  it.each([
    [
      'permit',
      'expected permit, came obligation (approval by 1 of platform-oncall) by production-needs-oncall',
    ],
    [
      '{ approvals: { platform-oncall: 2 } }',
      'expected obligation (approval by 2 of platform-oncall), came obligation (approval by 1 of platform-oncall) by production-needs-oncall',
    ],
    [
      '{ sign_in: true, approvals: { platform-oncall: 1 } }',
      'expected obligation (a fresh sign-in and approval by 1 of platform-oncall), came obligation (approval by 1 of platform-oncall) by production-needs-oncall',
    ],
    [
      '{ decision: obligation, policies: [shop-deploy] }',
      'expected policies shop-deploy, came production-needs-oncall',
    ],
  ])('that expects %s says what came instead', (expected, problem) => {
    expect(problems(`${deploy}, context: { ${SHOP} }, expect: ${expected}`)).toEqual([problem])
  })

  it('tells any sign-in from one of a kind', () => {
    const plan = 'principal: dana, task: plan, environment: dev, context: { labels: { gpus: 1 } }'
    expect(problems(`${plan}, expect: { sign_in: [mfa] }`)).toEqual([])
    expect(problems(`${plan}, expect: { sign_in: true }`)).toEqual([])
    expect(problems(`${plan}, expect: { sign_in: [other] }`)).toHaveLength(1)
    expect(problems(`${plan}, expect: { sign_in: false }`)).toHaveLength(1)
  })

  it('about the broker’s own actions is put to their policies', () => {
    const approve =
      'principal: olga, action: approve, grant: { principal: dana, task: deploy, environment: prod }'
    expect(problems(`${approve}, context: { method: reauth }, expect: permit`)).toEqual([])
    expect(problems(`${approve}, expect: deny`)).toEqual([])
    expect(problems('principal: olga, action: audit, expect: permit')).toEqual([
      'expected permit, came deny by no policy',
    ])
  })

  it('has what is usual where it says nothing, and what the file says before that', () => {
    const { stated } = one('task: deploy, targets: [shop-db], expect: deny')
    expect(stated).toMatchObject({
      kind: 'task',
      principal: { kind: 'human', groups: [] },
      environment: 'prod',
      targets: ['shop-db'],
      context: { ttl: 600, signed: { repository: '' }, now: Date.UTC(2026, 0, 5, 10) },
    })
    const [first, second] = read(`
context: { ticket: T-1, reason: why }
cases:
  - { name: a, task: plan, environment: dev, expect: deny }
  - { name: b, task: plan, environment: dev, context: { ticket: "" }, expect: deny }`)
    expect(first?.stated).toMatchObject({ context: { ticket: 'T-1', reason: 'why' } })
    expect(second?.stated).toMatchObject({ context: { ticket: '', reason: 'why' } })
  })

  it('has the delivery that is usual for who asks, or the one that it names', () => {
    const plan = 'task: plan, environment: dev, expect: deny'
    const deliveries = (fields: string) => one(fields).stated
    expect(deliveries(`principal: dana, ${plan}`)).toMatchObject({
      deliveries: { 'dev-db': 'env' },
    })
    expect(deliveries(`principal: copilot, ${plan}`)).toMatchObject({
      deliveries: { 'dev-db': 'proxy' },
    })
    expect(deliveries(`principal: copilot, context: { delivery: env }, ${plan}`)).toMatchObject({
      deliveries: { 'dev-db': 'env' },
    })
    const abilities = { 'dev-db': { tasks: ['plan'], proxied: false, ttl } }
    const unproxied = (fields: string) =>
      readCases(`${PRINCIPALS}cases: [{ name: it, ${fields} }]`, 'a.cases.yaml', {
        inventory: { ...inventory, abilities },
        policies,
      })
    expect(unproxied(`principal: copilot, ${plan}`)[0]?.stated).toMatchObject({
      deliveries: { 'dev-db': 'env' },
    })
    expect(() => unproxied(`context: { delivery: proxy }, ${plan}`)).toThrow(
      "cases.0.context.delivery: expected env: 'dev-db' can't be delivered by a proxy",
    )
  })

  it('of a pipeline waits for no sign-in: nobody is there to do it', () => {
    const labels = 'context: { labels: { gpus: 1 } }'
    const plan = `principal: ci, task: plan, environment: dev, ${labels}`
    expect(problems(`${plan}, expect: { decision: deny, policies: [mfa] }`)).toEqual([])
  })

  it('of a pipeline has its repository signed, of people claimed', () => {
    const ci = 'principal: ci, task: deploy, environment: dev'
    expect(problems(`${ci}, context: { repository: r }, expect: permit`)).toEqual([])
    expect(() => one(`${ci}, context: { ${SHOP} }, expect: permit`)).toThrow(
      /^a\.cases\.yaml:7: cases\.0\.context\.claimed: expected what its issuer signed/,
    )
    expect(() => one(`${deploy}, context: { branch: main }, expect: deny`)).toThrow(
      /context\.branch: expected it under claimed/,
    )
  })
})

describe('a mistake in a case', () => {
  it.each([
    [
      'principal: dan, task: plan, environment: dev, expect: deny',
      "principal: there is no 'dan': did you mean 'dana'?",
    ],
    [
      'task: deply, environment: dev, expect: deny',
      "task: task 'deply' is not declared: did you mean 'deploy'?",
    ],
    [
      'task: plan, environment: prod, expect: deny',
      "task: no target in 'prod' has the task 'plan'",
    ],
    [
      'task: deploy, environment: prod, targets: [dev-db], expect: deny',
      "targets.0: target 'dev-db' is not in 'prod': expected shop-db",
    ],
    ['task: deploy, expect: deny', 'expected an environment: dev, prod'],
    ['expect: deny', 'expected a task or an action'],
    ['action: view, expect: deny', 'expected the grant that the action is done to'],
    ['task: plan, action: audit, expect: deny', 'task: expected a task or an action'],
    [
      'task: plan, environment: dev, wen: x, expect: deny',
      'wen: unknown key: expected name, principal',
    ],
    [
      'task: plan, environment: dev, context: { tickt: x }, expect: deny',
      "context.tickt: unknown key: did you mean 'ticket'?",
    ],
    [
      'task: plan, environment: dev, context: { labels: { gpus: many } }, expect: deny',
      'context.labels.gpus: expected a long',
    ],
    [
      'task: plan, environment: dev, context: { ttl: 2h }, expect: deny',
      "context.ttl: expected at most 1h: 'dev-db' allows no more",
    ],
    [
      'task: plan, environment: dev, context: { time: monday }, expect: deny',
      'context.time: expected a time in UTC like 2026-01-05T09:30:00Z',
    ],
    [
      'task: plan, environment: dev, context: { delivery: prox }, expect: deny',
      'context.delivery: expected env, proxy',
    ],
    [
      'task: plan, environment: dev, context: { approvals: { shop-devs: 1 } }, expect: deny',
      "context.approvals.shop-devs: group 'shop-devs' is not declared",
    ],
    [
      'task: plan, environment: dev, context: { approvals: { platform-oncall: 3 } }, expect: deny',
      'expected 1, 2 or a list of people',
    ],
    ['task: plan, environment: dev, expect: maybe', 'expect: expected permit, deny, obligation'],
    [
      'task: plan, environment: dev, expect: { decision: permit, sign_in: true }',
      'expect.decision: expected obligation',
    ],
    [
      'task: plan, environment: dev, expect: { policies: [] }',
      'expect.decision: expected permit, deny, obligation',
    ],
    [
      'task: plan, environment: dev, expect: { decision: deny, policies: [shop-deply] }',
      "expect.policies.0: there is no policy 'shop-deply': did you mean 'shop-deploy'?",
    ],
    [
      'principal: { kind: agent }, task: plan, environment: dev, expect: deny',
      'principal: expected an owner',
    ],
    [
      'principal: { groups: [nope] }, task: plan, environment: dev, expect: deny',
      "principal.groups.0: group 'nope' is not declared",
    ],
  ])('%s is one error with its line', (fields, message) => {
    expect(() => one(fields)).toThrow(message)
    expect(() => one(fields)).toThrow(/^a\.cases\.yaml:7: cases\.0/)
  })

  it('is a name that stands there twice', () => {
    const text = 'cases:\n  - { name: a, task: plan, environment: dev, expect: deny }\n'
    const twice = `${text}  - { name: a, task: plan, environment: dev, expect: deny }`
    expect(() => read(twice)).toThrow('a.cases.yaml:9: cases.1.name: expected each name once')
  })
})

describe('coverage', () => {
  it('counts policies that said what counted, and those that an approval would bring', () => {
    const cases = read(`
cases:
  - { name: a, ${deploy}, context: { ${SHOP} }, expect: obligation }
  - { name: b, principal: olga, action: audit, expect: deny }`)
    const coverage = coverageOf(
      cases.map((one) => runCase(one, policies)),
      policies,
    )
    expect(coverage).toMatchObject({ policies: 7, covered: 2, percent: 28 })
    expect(coverage.uncovered).toContainEqual({ id: 'plans', at: 'a.cedar:11' })
    const ids = coverage.uncovered.map(({ id }) => id)
    expect(ids).toEqual(['plans', 'mfa', 'ci', 'copilots', 'oncall-approves'])
  })
})
