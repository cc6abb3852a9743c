import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AuditEntry } from '../../src/protocol/audit.ts'
import { Harness, TestClient } from './harness.ts'
import { COMMIT, PipelineIssuer } from './pipeline-tokens.ts'

const AUDIENCE = 'https://jit.test'
const IDENTITY = [
  `{ issuer: https://token.actions.githubusercontent.com, kind: pipeline, audience: '${AUDIENCE}',
     repositories: { github.com/acme/shop: { id: 12345, owner_id: 678, groups: { oncall: {} } } } }`,
  `{ issuer: https://gitlab.com, kind: pipeline, audience: '${AUDIENCE}',
     repositories: { gitlab.com/acme/team/shop: { id: 22, owner_id: 72 } } }`,
]
/** A pipeline may deploy what its issuer says is main, and nothing on its own word. */
const POLICIES = `
@id("main-deploys") permit (principal is Pipeline, action == Action::"deploy", resource)
when { principal in Group::"oncall" && context.repository == "github.com/acme/shop"
       && context.branch == "main" };
@id("claims") forbid (principal is Pipeline, action, resource)
when { context.claimed.repository != "" || context.claimed.branch != "" || context.claimed.dirty };
`

let harness: Harness
let github: PipelineIssuer
let gitlab: PipelineIssuer
let now: number

beforeEach(async () => {
  now = Date.now()
  github = await PipelineIssuer.start('github', { audience: AUDIENCE })
  gitlab = await PipelineIssuer.start('gitlab', { audience: AUDIENCE })
  const issuers = [github.provider, gitlab.provider]
  harness = await Harness.start({ now: () => now, identity: IDENTITY, issuers, policies: POLICIES })
})

afterEach(() => harness[Symbol.asyncDispose]())

const fresh = () => new TestClient(harness.url, () => now)
const token = (issuer: PipelineIssuer, claims: Record<string, unknown> = {}) =>
  issuer.token(claims, { now: Math.floor(now / 1000) })
const codeOf = async (answer: Response) => ((await answer.json()) as { code?: string }).code

async function signedIn(issuer: PipelineIssuer, claims: Record<string, unknown> = {}) {
  const client = fresh()
  await client.take(await client.exchange(await token(issuer, claims)))
  return client
}

describe('a pipeline', () => {
  test('is decided on what its issuer signed; what it claims otherwise is nothing', async () => {
    const client = await signedIn(github)
    const claimed = { repository: 'github.com/evil/x', branch: 'evil', commit: '', dirty: true }
    const { granted, line } = await client.grant({ claimed })
    const { body } = await client.call('GET', `/v1/grants/${granted.grant}`)
    expect(body.grants[0].context).toMatchObject({
      ...{ repository: 'github.com/acme/shop', branch: 'main', commit: COMMIT },
      claimed: { repository: '', branch: '', commit: '', dirty: false },
    })
    expect(body.grants[0].principal).toMatchObject({ kind: 'pipeline', triggered_by: 'dana' })
    line.cut()
  })

  test('on another branch, or on a tag, gets nothing by claiming main', async () => {
    for (const ref of ['refs/heads/topic', 'refs/tags/main', 'refs/pull/1/merge']) {
      const client = await signedIn(github, { ref })
      await expect(client.grant()).rejects.toThrow(/denied/)
    }
  })

  test('is told apart in the log: its subject, what was signed, who set it off', async () => {
    await signedIn(github)
    const admin = await harness.client({ groups: ['admins'] })
    const { body } = await admin.call('GET', '/v1/audit')
    const opened = (body.entries as AuditEntry[]).find(
      ({ event, principal }) => event === 'session.opened' && principal?.kind === 'pipeline',
    )
    expect(opened).toMatchObject({
      client: 'github',
      subject: 'repo:acme/shop:environment:production',
      signed: { repository: 'github.com/acme/shop', branch: 'main', commit: COMMIT },
      triggered_by: 'dana',
      groups: ['oncall'],
    })
  })

  test('is denied where policy wants a sign-in: nobody is there to make one', async () => {
    await harness[Symbol.asyncDispose]()
    const policies = `
@id("pipelines") permit (principal is Pipeline, action, resource);
@id("fresh") forbid (principal, action, resource) unless { context.authentication.age < 300 };`
    const issuers = [github.provider]
    harness = await Harness.start({ now: () => now, identity: IDENTITY, issuers, policies })
    await expect((await signedIn(github)).grant()).rejects.toThrow(/"code":"denied"/)
  })

  test('renews its session with a new token of the same run', async () => {
    const client = await signedIn(github)
    now += 20 * 60_000
    await client.take(await client.exchange(await token(github)))
    now += 20 * 60_000
    await client.take(await client.exchange(await token(github)))
    expect((await client.call('GET', '/v1/whoami')).status).toBe(200)
  })

  test('sees and ends what its own code was given; a run of another branch is another matter', async () => {
    const deploy = await signedIn(github)
    const { granted, line } = await deploy.grant()
    const topic = await signedIn(github, { ref: 'refs/heads/topic', sha: 'b'.repeat(40) })
    expect((await topic.call('GET', '/v1/grants?scope=mine')).body.grants).toEqual([])
    expect((await topic.call('POST', `/v1/grants/${granted.grant}/revoke`, {})).status).toBe(404)
    const { body } = await topic.call('POST', '/v1/revoke', { scope: 'all' })
    expect(body).toMatchObject({ receipts: [], sessions: 0, cut_off: [] })
    expect(await deploy.call('GET', '/v1/whoami')).toMatchObject({ status: 200 })
    const next = await signedIn(github)
    expect((await next.call('GET', '/v1/grants?scope=mine')).body.grants).toHaveLength(1)
    const ended = await next.call('POST', '/v1/revoke', { scope: 'mine' })
    expect(ended.body.receipts).toMatchObject([{ grant: granted.grant }])
    await line.next('revoked')
  })

  test.each([
    ['another commit', { sha: 'b'.repeat(40) }],
    ['another branch', { ref: 'refs/heads/topic' }],
    ['somebody else', { actor: 'mallory' }],
  ])('can not change what a session stands on: %s', async (_, claims) => {
    const client = await signedIn(github)
    expect(await codeOf(await client.exchange(await token(github, claims)))).toBe('token_invalid')
  })
})

describe('a token', () => {
  test('of GitHub opens one session, and no second one', async () => {
    const once = await token(github)
    expect((await fresh().exchange(once)).status).toBe(200)
    expect(await codeOf(await fresh().exchange(once))).toBe('token_invalid')
  })

  test('that a job keeps works for one key at a time, again once its session was given back', async () => {
    const kept = await token(gitlab)
    const client = fresh()
    await client.take(await client.exchange(kept))
    expect(await codeOf(await fresh().exchange(kept))).toBe('token_invalid')
    // The same key renews with it.
    now += 10 * 60_000
    await client.take(await client.exchange(kept))
    await client.logout()
    const next = fresh()
    await next.take(await next.exchange(kept))
    expect(await codeOf(await client.exchange(kept))).toBe('token_invalid')
  })

  test('that a job keeps works again when its session has gone 30 minutes without a renewal', async () => {
    const kept = await token(gitlab)
    expect((await fresh().exchange(kept)).status).toBe(200)
    now += 31 * 60_000
    expect((await fresh().exchange(kept)).status).toBe(200)
  })

  test('that was replaced by a newer one of the same job is of no use to whoever copied it', async () => {
    const [old, newer] = [await token(gitlab), await token(gitlab)]
    const client = fresh()
    await client.take(await client.exchange(old))
    await client.take(await client.exchange(newer))
    expect(await codeOf(await fresh().exchange(old))).toBe('token_invalid')
    await client.logout()
    expect(await codeOf(await fresh().exchange(old))).toBe('token_invalid')
    expect((await fresh().exchange(newer)).status).toBe(200)
  })

  test('whose session was revoked opens no other', async () => {
    const kept = await token(gitlab)
    const client = fresh()
    await client.take(await client.exchange(kept))
    const { body } = await client.call('GET', '/v1/whoami')
    const admin = await harness.client({ groups: ['admins'] })
    const revoked = await admin.call('POST', '/v1/revoke', { user: body.principal.id })
    expect(revoked.status).toBe(200)
    expect(await codeOf(await fresh().exchange(kept))).toBe('token_invalid')
    expect((await client.call('GET', '/v1/whoami')).status).toBe(401)
  })

  test('of people’s provider can not be a pipeline’s', async () => {
    const client = await harness.client()
    expect((await client.call('GET', '/v1/whoami')).body.principal.kind).toBe('human')
    expect(await codeOf(await client.exchange(await token(github)))).toBe('token_invalid')
  })
})

test('metadata tell where pipelines’ tokens come from and what they are made for', async () => {
  const answer = await fetch(`${harness.url}/.well-known/oauth-protected-resource`)
  const { identity_providers } = (await answer.json()) as { identity_providers: object[] }
  expect(identity_providers).toContainEqual(
    expect.objectContaining({ issuer: 'https://gitlab.com', audience: AUDIENCE, clients: {} }),
  )
})
