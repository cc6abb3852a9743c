import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { Askable } from '../../src/protocol/askable.ts'
import { parse } from '../../src/protocol/parse.ts'
import { RequestExplanation } from '../../src/protocol/request-explanation.ts'
import { FakeTarget, Harness, type HarnessOptions, request, type TestClient } from './harness.ts'

const POLICIES = `
@id("everyone-in-dev") permit (principal, action, resource in Environment::"dev")
when { context.delivery == "env" || context.delivery == "proxy" };
@id("fresh-for-b") forbid (principal, action == Action::"deploy", resource == Target::"b")
unless { context.authentication.age <= 300 };
@id("devs-in-prod") permit (principal in Group::"admins", action, resource in Environment::"prod")
when { context.claimed.repository == "github.com/acme/shop" };
@id("production-needs-oncall") forbid (principal, action == Action::"deploy", resource)
when { resource.tier == "production" } unless { context.approvals.contains(Group::"oncall") };
`

let harness: Harness
afterEach(() => harness[Symbol.asyncDispose]())

const start = async (options: HarnessOptions = {}) => {
  const targets = { a: new FakeTarget('a'), b: new FakeTarget('b'), shop: new FakeTarget('shop') }
  harness = await Harness.start({ policies: POLICIES, targets, ...options })
}
/** Who signed in an hour ago. */
const person = (sub: string, groups: string[] = []) => {
  const auth_time = Math.floor(Date.now() / 1000) - 3600
  return harness.client({ sub, preferred_username: sub, groups, auth_time })
}

async function ask(client: TestClient, query = ''): Promise<Askable> {
  const path = `/v1/askable?repository=github.com/acme/shop&branch=main&commit=${query}`
  const { status, body } = await client.call('GET', path)
  expect({ status, body }).toMatchObject({ status: 200 })
  return parse(Askable, body, { what: 'askable' })
}

/** `prod deploy vault: approval`, a line for each. */
const lines = ({ environments }: Askable) =>
  environments.flatMap(({ name, tasks }) =>
    tasks.flatMap((task) =>
      task.targets.map(({ name: target, answer }) => `${name} ${task.name} ${target}: ${answer}`),
    ),
  )

async function auditEntries(): Promise<number> {
  const ada = await person('ada', ['admins'])
  const { body } = await ada.call('GET', '/v1/audit')
  return (body.entries as { event: string }[]).filter(({ event }) => !event.startsWith('session'))
    .length
}

describe('GET /v1/askable', () => {
  test('says for each task at each target what policy would answer now, and what it would take', async () => {
    await start()
    const askable = await ask(await person('dev', ['admins']))
    expect(lines(askable)).toEqual([
      'dev plan a: permit',
      'dev plan b: permit',
      'dev plan shop: permit',
      'dev plan api: permit',
      'dev plan open: permit',
      'dev deploy a: permit',
      'dev deploy b: sign_in',
      'dev deploy shop: permit',
      'prod plan vault: permit',
      'prod deploy vault: approval',
    ])
    expect(askable.labels).toEqual({ model: 'string' })
    const [dev, prod] = askable.environments
    expect([dev?.tier, prod?.tier]).toEqual(['development', 'production'])
    expect(dev?.tasks.map(({ answer }) => answer)).toEqual(['permit', 'sign_in'])
    expect(dev?.tasks[1]?.targets[1]?.obligation).toMatchObject({
      sign_in: { acr_values: [] },
      approvals: [],
    })
    expect(prod?.tasks[1]?.targets[0]).toMatchObject({
      type: 'fake',
      obligation: { approvals: [{ group: 'oncall', people: 1 }] },
      ttl: { default: 900 },
    })
  })

  test('leaves out what would be denied, unless all is asked for; one environment, if one is', async () => {
    await start()
    const dev = await person('dev')
    expect((await ask(dev)).environments.map(({ name }) => name)).toEqual(['dev'])
    const { environments } = await ask(dev, '&all=true&environment=prod')
    expect(environments).toMatchObject([
      { name: 'prod', tier: 'production', tasks: [{ answer: 'denied' }, { answer: 'denied' }] },
    ])
    const elsewhere = await dev.call('GET', '/v1/askable?repository=github.com/evil/shop')
    expect(elsewhere.body.environments).toHaveLength(1)
  })

  test('decides where one claims to stand', async () => {
    await start()
    const ada = await person('ada', ['admins'])
    const elsewhere = await ada.call('GET', '/v1/askable?repository=github.com/evil/shop')
    expect(elsewhere.body.environments.map(({ name }: { name: string }) => name)).toEqual(['dev'])
  })

  test('says that it depends where a policy wants a ticket, a reason, a label or a command', async () => {
    const wanting = (condition: string) => `
@id("wanting") permit (principal, action == Action::"plan", resource) when { ${condition} };
@id("oncall") forbid (principal, action, resource == Target::"vault")
unless { context.approvals.contains(Group::"oncall") };`
    await start({ policies: wanting('context.ticket like "OPS-*"') })
    const dev = await person('dev')
    const conditions = [
      'context.ticket like "OPS-*"',
      'context.reason != ""',
      'context.labels has model && context.labels.model == "m1"',
      'context.command.program == "terraform"',
    ]
    for (const condition of conditions) {
      writeFileSync(join(harness.directory, 'tasks.cedar'), wanting(condition))
      await harness.broker.reload()
      const { environments } = await ask(dev)
      const answers = environments.map(({ name, tasks }) => [name, tasks.map((t) => t.answer)])
      expect({ condition, answers }).toEqual({
        condition,
        answers: [
          ['dev', ['depends']],
          ['prod', ['depends']],
        ],
      })
    }
    const never = wanting('context.ticket != "" && context.claimed.branch == "release"')
    writeFileSync(join(harness.directory, 'tasks.cedar'), never)
    await harness.broker.reload()
    expect((await ask(dev)).environments).toEqual([])
  })

  test('offers a copilot no more than its ceiling', async () => {
    await start()
    const agent = await harness.delegated(await person('dev'), {
      ceiling: { tasks: ['plan'], targets: ['a', 'open'] },
    })
    expect(lines(await ask(agent))).toEqual(['dev plan a: permit', 'dev plan open: permit'])
  })

  test('refuses what it does not know, and whoever asks without end', async () => {
    await start()
    const dev = await person('dev')
    const odd = await dev.call('GET', '/v1/askable?owner=me')
    expect(odd).toMatchObject({ status: 400, body: { code: 'request_invalid' } })
    const questions = Array.from({ length: 120 }, () => dev.call('GET', '/v1/askable'))
    const statuses = (await Promise.all(questions)).map(({ status }) => status)
    // One more each second that it takes.
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(60)
    expect(statuses).toContain(429)
    expect((await (await person('other')).call('GET', '/v1/askable')).status).toBe(200)
  })

  test('answers for 200 targets in one question, and records nothing', async () => {
    const names = Array.from({ length: 200 }, (_, at) => `t${at}`)
    const targets = Object.fromEntries(names.map((name) => [name, new FakeTarget(name)]))
    await start({ targets, policies: POLICIES.replace('"b"', '"t7"') })
    const dev = await person('dev', ['admins'])
    const before = await auditEntries()
    const askable = await ask(dev)
    expect(lines(askable)).toHaveLength(2 * 200 + 4)
    expect(lines(askable)).toContain('dev deploy t7: sign_in')
    expect(await auditEntries()).toBe(before)
    expect((await dev.call('GET', '/v1/grants?scope=mine')).body.grants).toEqual([])
  })
})

describe('POST /v1/policy/explain', () => {
  const explain = (client: TestClient, details: object) =>
    client.call('POST', '/v1/policy/explain', { details })

  test('says what would come of a request, with every default filled in, and makes none', async () => {
    await start()
    const dev = await person('dev', ['admins'])
    const { body } = await explain(dev, request({ environment: 'prod', targets: [] }))
    expect(parse(RequestExplanation, body, { what: 'explanation' })).toMatchObject({
      ...{ environment: 'prod', tier: 'production', task: 'deploy', ttl: 900 },
      targets: [
        { name: 'vault', delivery: 'env', variables: ['FAKE_SECRET'], unset: ['FAKE_PROFILE'] },
      ],
      today: {
        decision: 'obligation',
        obligation: { approvals: [{ group: 'oncall', people: 1 }] },
        then_permitted: ['devs-in-prod'],
      },
    })
    expect((await dev.call('GET', '/v1/grants?scope=mine')).body.grants).toEqual([])
    expect(harness.targets.vault?.handles.size).toBe(0)
  })

  test('says no as a request would be told', async () => {
    await start()
    const dev = await person('dev')
    const denied = await explain(dev, request({ environment: 'prod', targets: ['vault'] }))
    expect(denied.body.today.decision).toBe('deny')
    const unknown = await explain(dev, request({ targets: ['shpo'] }))
    expect(unknown).toMatchObject({ status: 400, body: { hint: "did you mean 'shop'?" } })
  })
})
