import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkDeliveries } from '../../src/broker/deliveries.ts'
import type { FleetMember } from '../../src/broker/fleet.ts'
import { tokenKind } from '../../src/targets/token.ts'
import { Harness, request, type TestClient } from './harness.ts'
import { querySql } from './harness-store.ts'
import { approve } from './waiting.ts'

const POLICIES = `
@id("everyone") permit (principal, action, resource);
@id("open-by-name") permit (principal is Agent, action == Action::"plan", resource == Target::"open")
when { context.delivery == "env" };
@id("production-needs-oncall") forbid (principal, action, resource)
when { resource.tier == "production" } unless { context.approvals.contains(Group::"oncall") };
@id("contractors-hold-nothing") forbid (principal, action, resource)
when { context.delivery == "env" && context.ticket == "contract" };
@id("oncall-approves") permit (principal in Group::"oncall", action == Action::"approve", resource);
`
const WEB = `web:
    { environment: dev, type: token, sensitivity: internal, audience: https://web.test, url: https://web.test/v1,
      tasks: { plan: {} }, env: { WEB_AUTH: "Bearer {{token}} at {{url}}" } }`

const UPSTREAM = {
  kind: 'http',
  url: 'https://fake.test',
  token: expect.stringMatching(/^secret-of-j/),
}
const PROD = { environment: 'prod', targets: ['vault'], reason: 'release 12' }

let harness: Harness
let now: number

beforeEach(async () => {
  now = Date.now()
  harness = await Harness.start({ now: () => now, policies: POLICIES, more: [WEB] })
})

afterEach(() => harness[Symbol.asyncDispose]())

const credentialsOf = async (client: TestClient, details: Parameters<typeof request>[0]) =>
  (await client.grant(details)).granted.credentials

/** The audit entries of a grant. */
async function eventsOf(grant: string) {
  const admin = await harness.client({ sub: 'auditor', groups: ['admins'] })
  const { body } = await admin.call('GET', '/v1/audit')
  // biome-ignore lint/suspicious/noExplicitAny: entries of every shape
  return (body.entries as any[]).filter((entry) => entry.grant === grant)
}

/** What the broker has on its disk or in its database, and has logged. */
async function written(): Promise<string> {
  const files = readdirSync(harness.directory).filter((name) => name.startsWith('ledger'))
  const texts = files.map((name) => readFileSync(join(harness.directory, name), 'latin1'))
  const tables = ['grants', 'leases', 'sessions', 'audit'].map(async (table) =>
    JSON.stringify(await querySql(harness.directory, `SELECT * FROM ${table}`)),
  )
  return [...texts, ...(await Promise.all(tables)), ...harness.log].join('\n')
}

describe('where nobody says how', () => {
  test('a person and a pipeline get credentials in the environment', async () => {
    const [shop] = await credentialsOf(await harness.client(), {})
    expect(shop?.env).toEqual({ FAKE_SECRET: expect.stringMatching(/^secret-of-j/) })
    expect(shop).not.toHaveProperty('upstream')
    const [web] = await credentialsOf(await harness.client(), { task: 'plan', targets: ['web'] })
    expect(web?.env).toMatchObject({
      WEB_TOKEN: expect.stringMatching(/^ey/),
      WEB_URL: 'https://web.test/v1',
      WEB_AUTH: expect.stringMatching(/^Bearer ey.* at https:\/\/web\.test\/v1$/),
    })
  })

  test('an agent gets what a proxy needs, and templates without a secret', async () => {
    const agent = await harness.agent('claude')
    const details = { task: 'plan', targets: ['shop', 'web', 'open'] }
    const [shop, web, open] = await credentialsOf(agent, details)
    expect(shop).toMatchObject({ upstream: UPSTREAM, env: { FAKE_SECRET: '{{token}}' } })
    expect(web?.upstream).toEqual({
      kind: 'http',
      url: 'https://web.test/v1',
      token: expect.stringMatching(/^ey/),
    })
    expect(web?.env).toEqual({
      WEB_TOKEN: '{{token}}',
      WEB_URL: '{{url}}',
      WEB_AUTH: 'Bearer {{token}} at {{url}}',
    })
    // It has no proxy, and a policy permits its environment by name.
    expect(open).not.toHaveProperty('upstream')
    expect(open?.env.OPEN_TOKEN).toMatch(/^ey/)
  })

  test("an agent of a person's session does, too", async () => {
    const agent = await harness.delegated(await harness.client())
    expect((await credentialsOf(agent, {}))[0]?.upstream).toEqual(UPSTREAM)
  })
})

describe('who asks may say how', () => {
  test('a person has a proxy use it', async () => {
    const [shop] = await credentialsOf(await harness.client(), { delivery: 'proxy' })
    expect(shop).toMatchObject({ upstream: UPSTREAM, env: { FAKE_SECRET: '{{token}}' } })
  })

  test('a proxy for a target without one is refused before anything is decided', async () => {
    const client = await harness.client()
    const line = await client.connect()
    const details = request({ task: 'plan', targets: ['api'], delivery: 'proxy' })
    line.send({ type: 'request', key: crypto.randomUUID(), details })
    await expect(line.next('requested')).rejects.toThrow(
      /request_invalid.*'api' can't be delivered by a proxy.*url:/,
    )
    expect((await client.call('GET', '/v1/grants')).body.grants).toEqual([])
  })

  test('an agent is refused its environment where no policy names it, and told so', async () => {
    const agent = await harness.agent('claude')
    await expect(agent.grant({ delivery: 'env' })).rejects.toThrow(
      /denied.*an agent is given credentials in its environment only by a permit that names context.delivery.*--deliver proxy/,
    )
    // Without a proxy, another delivery is no way out.
    await expect(agent.grant({ task: 'plan', targets: ['api'] })).rejects.toThrow(
      /names context.delivery.*ask whoever keeps the policies, or ask for less/,
    )
    const open = { task: 'plan', targets: ['open'], delivery: 'env' as const }
    expect((await credentialsOf(agent, open))[0]?.env.OPEN_TOKEN).toMatch(/^ey/)
  })

  test('policies decide on it, each target by its own', async () => {
    const client = await harness.client()
    const ticket = 'contract'
    await expect(client.grant({ ticket })).rejects.toThrow(/contractors-hold-nothing/)
    const { granted } = await client.grant({ ticket, delivery: 'proxy' })
    const entry = (await eventsOf(granted.grant)).find(({ event }) => event === 'grant.permitted')
    expect(entry.decisions).toMatchObject([{ target: 'shop', delivery: 'proxy' }])
    const agent = await harness.agent('claude')
    const both = await agent.grant({ task: 'plan', targets: ['shop', 'open'] })
    const [permitted] = await eventsOf(both.granted.grant)
    expect(permitted.decisions).toMatchObject([
      { target: 'shop', delivery: 'proxy' },
      { target: 'open', delivery: 'env' },
    ])
    const explained = await agent.call('GET', `/v1/policy/explain?grant=${both.granted.grant}`)
    expect(explained.body.recorded[0].decisions).toMatchObject([
      { target: 'shop', delivery: 'proxy' },
      { target: 'open', delivery: 'env' },
    ])
    expect(explained.body.today).toMatchObject({ decision: 'permit' })
  })

  test('the same key with another delivery is another request', async () => {
    const client = await harness.client()
    const key = crypto.randomUUID()
    const line = await client.connect()
    line.send({ type: 'request', key, details: request() })
    await line.next('granted')
    const again = await client.connect()
    again.send({ type: 'request', key, details: request({ delivery: 'proxy' }) })
    await expect(again.next('granted')).rejects.toThrow(/idempotency_conflict/)
  })
})

describe('the delivery of a grant', () => {
  test('is shown with each lease', async () => {
    const client = await harness.client()
    const { granted } = await client.grant({ delivery: 'proxy' })
    const { body } = await client.call('GET', `/v1/grants/${granted.grant}`)
    expect(body.grants[0].leases).toMatchObject([{ target: 'shop', delivery: 'proxy' }])
  })

  test('is what approvers see and approve, and what is minted when the request is used', async () => {
    const client = await harness.client({ sub: 'dev' })
    const oncall = await harness.client({ sub: 'olga', groups: ['oncall'] })
    const details = request({ ...PROD, delivery: 'proxy' })
    const asked = await client.call('POST', '/v1/grants', { key: crypto.randomUUID(), details })
    const { id } = asked.body
    const { body } = await oncall.call('GET', `/v1/approvals/${id}`)
    expect(body.subject.targets).toMatchObject([{ name: 'vault', delivery: 'proxy' }])
    expect((await approve(oncall, id)).status).toBe(200)
    const line = await client.connect()
    const { claimed, command } = details
    line.send({ type: 'redeem', grant: id, claimed, command })
    const { credentials } = await line.next('granted')
    expect(credentials[0]).toMatchObject({ upstream: UPSTREAM, env: { FAKE_SECRET: '{{token}}' } })
  })

  test('stays when credentials that did not arrive are made anew', async () => {
    const client = await harness.client()
    const line = await client.connect()
    line.send({
      type: 'request',
      key: crypto.randomUUID(),
      details: request({ delivery: 'proxy' }),
    })
    const first = await line.next('granted')
    line.cut()
    const again = await client.connect()
    const { grant, resume_secret: secret } = first
    again.send({ type: 'resume', grant, secret, received: false })
    const { credentials } = await again.next('resumed')
    expect(credentials[0]).toMatchObject({ upstream: UPSTREAM })
    expect(credentials[0]?.upstream).not.toEqual(first.credentials[0]?.upstream)
  })

  test('stays at a renewal, which is decided for it', async () => {
    const client = await harness.client()
    const { line, granted } = await client.grant({ delivery: 'proxy', ttl: 900 })
    now += 600_000
    line.send({ type: 'renew', grant: granted.grant })
    await line.next('renewed')
    const events = await eventsOf(granted.grant)
    const renewing = events.find(({ event }) => event === 'grant.renewing')
    expect(renewing.decisions).toMatchObject([{ target: 'shop', delivery: 'proxy' }])
    const { body } = await client.call('GET', `/v1/grants/${granted.grant}`)
    expect(body.grants[0].leases).toMatchObject([{ delivery: 'proxy' }])
  })
})

test('a target that has lost its proxy is refused, never handed over otherwise', () => {
  const kind = { ...tokenKind, proxied: () => false }
  const web = { config: { kind }, target: { name: 'web' } } as unknown as FleetMember
  expect(() => checkDeliveries([web], { web: 'env' })).not.toThrow()
  expect(() => checkDeliveries([web], { web: 'proxy' })).toThrow(
    expect.objectContaining({
      code: 'target_refused',
      message: "'web' can't be delivered by a proxy",
    }),
  )
})

test('nothing of what a proxy is given is in the ledger, the audit log or the log', async () => {
  const agent = await harness.agent('claude')
  const { granted, line } = await agent.grant({ task: 'plan', targets: ['shop', 'web'] })
  line.send({ type: 'release', grant: granted.grant, outcome: { code: 0, signal: null } })
  await line.next('released')
  const tokens = granted.credentials.map(({ upstream }) =>
    upstream?.kind === 'http' ? upstream.token : '',
  )
  expect(tokens).toEqual([expect.stringMatching(/^secret-of-/), expect.stringMatching(/^ey/)])
  const everything = await written()
  for (const token of tokens) expect(everything).not.toContain(token)
  expect(everything).toContain(granted.grant)
})
