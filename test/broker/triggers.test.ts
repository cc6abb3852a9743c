import { afterEach, beforeEach, expect, test } from 'vitest'
import { Harness, request, TestClient } from './harness.ts'
import { PipelineIssuer } from './pipeline-tokens.ts'
import { FakeProvider } from './provider.ts'

const AUDIENCE = 'https://jit.test'
const POLICIES = `
@id("pipelines") permit (principal is Pipeline, action, resource);
@id("production-needs-oncall") forbid (principal, action, resource)
when { resource.tier == "production" } unless { context.approvals.contains(Group::"oncall") };
@id("oncall-approves") permit (principal in Group::"oncall", action == Action::"approve", resource);
`
/** A provider that says which account its people have at the forge, beside the harness's, that doesn't. */
const CORP = 'https://corp.test'
const IDENTITY = [
  `{ issuer: ${CORP}, clients: { jit-cli: human }, account: github_login }`,
  `{ issuer: https://token.actions.githubusercontent.com, kind: pipeline, audience: '${AUDIENCE}',
     repositories: { github.com/acme/shop: { id: 12345, owner_id: 678 } } }`,
]

let harness: Harness
let corp: FakeProvider
let github: PipelineIssuer

beforeEach(async () => {
  corp = new FakeProvider(CORP)
  await corp.rotate('corp')
  github = await PipelineIssuer.start('github', { audience: AUDIENCE })
  const issuers = [corp, github.provider]
  harness = await Harness.start({ identity: IDENTITY, issuers, policies: POLICIES })
})

afterEach(() => harness[Symbol.asyncDispose]())

const now = () => Math.floor(Date.now() / 1000)

/** What a run that `dana` set off waits for. */
async function waiting(): Promise<string> {
  const client = new TestClient(harness.url, Date.now)
  await client.take(await client.exchange(await github.token({}, { now: now() })))
  const line = await client.connect()
  const details = request({ environment: 'prod', targets: ['vault'] })
  line.send({ type: 'request', key: crypto.randomUUID(), details })
  return (await line.next('pending')).grant
}

/** Somebody of on-call, signed in at the provider that knows accounts. */
async function colleague(claims: Record<string, unknown>): Promise<TestClient> {
  const client = new TestClient(harness.url, Date.now)
  const times = { iat: now(), exp: now() + 300, auth_time: now() - 10, jti: crypto.randomUUID() }
  const token = await corp.sign({ ...times, sub: 'u7', groups: ['oncall'], ...claims })
  await client.take(await client.exchange(token))
  return client
}

async function approve(client: TestClient, grant: string): Promise<number> {
  const { body } = await client.call('GET', `/v1/approvals/${grant}`)
  return (await client.call('POST', `/v1/grants/${grant}/approve`, { hash: body.hash ?? '' }))
    .status
}

test('whoever set a pipeline off does not approve what it asks for; a colleague does', async () => {
  const grant = await waiting()
  expect(await approve(await colleague({ github_login: 'Dana' }), grant)).not.toBe(200)
  expect(await approve(await colleague({ github_login: 'fox' }), grant)).toBe(200)
})

test('somebody whose provider should name their account, and does not, may have set it off', async () => {
  expect(await approve(await colleague({}), await waiting())).not.toBe(200)
})

test('where no account is known, a name like the one that set it off is doubt enough', async () => {
  const grant = await waiting()
  const groups = ['oncall']
  const alike = await harness.client({ preferred_username: 'dana@acme.dev', groups })
  expect(await approve(alike, grant)).not.toBe(200)
  const other = await harness.client({ sub: 'u8', preferred_username: 'fox', groups })
  expect(await approve(other, grant)).toBe(200)
})

test('what was approved for one run is not used by one that its approver set off', async () => {
  const run = async (actor: string) => {
    const client = new TestClient(harness.url, Date.now)
    await client.take(await client.exchange(await github.token({ actor }, { now: now() })))
    return client
  }
  const details = request({ environment: 'prod', targets: ['vault'] })
  const { body } = await (await run('fox')).call('POST', '/v1/grants', { key: 'k', details })
  expect(await approve(await colleague({ github_login: 'dana' }), body.id)).toBe(200)
  const { claimed, command } = details
  const line = await (await run('dana')).connect()
  line.send({ type: 'redeem', grant: body.id, claimed, command })
  await expect(line.next('granted')).rejects.toThrow(/not_found/)
  const again = await (await run('fox')).connect()
  again.send({ type: 'redeem', grant: body.id, claimed, command })
  expect((await again.next('granted')).grant).toBe(body.id)
})

test('an account is the provider’s word: people can not name their own', async () => {
  const client = await colleague({ github_login: 'dana', account: 'fox' })
  const { body } = await client.call('GET', '/v1/whoami')
  expect(body.principal).toMatchObject({ kind: 'human', account: 'dana' })
})
