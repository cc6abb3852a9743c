import { afterEach, describe, expect, it } from 'vitest'
import { Harness, type HarnessOptions, request, TestClient } from './harness.ts'
import { querySql } from './harness-store.ts'
import { PipelineIssuer } from './pipeline-tokens.ts'

let harness: Harness

const start = async (options: HarnessOptions = {}) => {
  harness = await Harness.start(options)
  return harness
}
const admin = () => harness.client({ sub: 'boss', preferred_username: 'boss', groups: ['admins'] })
const dana = { sub: 'dana', preferred_username: 'dana' }
const seconds = () => Math.floor(Date.now() / 1000)

/** What a sign-in with these claims is answered, by a key of its own. */
async function signIn(
  claims: Record<string, unknown>,
  client = new TestClient(harness.url, Date.now),
) {
  const answer = await client.exchange(await harness.idToken(claims))
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

afterEach(async () => {
  await harness[Symbol.asyncDispose]()
})

describe('revoking a user', () => {
  it('ends their sessions and grants, tells their commands, and spares everybody else', async () => {
    await start()
    const [boss, theirs, other] = [
      await admin(),
      await harness.client(dana),
      await harness.client(),
    ]
    const [{ line, granted }, spared] = [await theirs.grant(), await other.grant()]
    const { status, body } = await boss.call('POST', '/v1/revoke', { user: 'dana' })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      receipts: [{ grant: granted.grant, ended_by: 'revoked' }],
      withdrawn: [],
      sessions: 1,
      cut_off: ['idp.test/dana'],
    })
    expect(await line.next('revoked')).toMatchObject({ ended_by: 'revoked' })
    expect(harness.shop.revoked).toHaveLength(1)
    expect(await theirs.call('GET', '/v1/whoami')).toMatchObject({
      status: 401,
      body: { code: 'session_ended' },
    })
    const { body: left } = await other.call('GET', '/v1/grants')
    expect(left.grants).toMatchObject([{ id: spared.granted.grant, state: 'active' }])
  })

  it('is by id as well, and takes back what waited', async () => {
    await start({ policies: WANTS_APPROVAL })
    const [boss, theirs] = [await admin(), await harness.client(dana)]
    const asked = await theirs.call('POST', '/v1/grants', { key: 'k1', details: request() })
    expect(asked).toMatchObject({ status: 201, body: { state: 'pending' } })
    const { body } = await boss.call('POST', '/v1/revoke', { user: 'idp.test/dana' })
    expect(body).toMatchObject({
      receipts: [],
      withdrawn: [{ grant: asked.body.id, state: 'refused' }],
      sessions: 1,
    })
    const approved = await boss.call('POST', `/v1/grants/${asked.body.id}/approve`, {
      hash: 'a'.repeat(64),
    })
    expect(approved.status).toBeGreaterThanOrEqual(400)
  })

  it('takes back what was asked ahead in a session that is long over', async () => {
    let ahead = 0
    await start({
      policies: WANTS_APPROVAL,
      limits: 'approval: { lapse: 2h }',
      now: () => Date.now() + ahead,
    })
    const theirs = await harness.client(dana)
    const asked = await theirs.call('POST', '/v1/grants', { key: 'k1', details: request() })
    ahead = 40 * 60_000
    const boss = await admin()
    const log = async () => JSON.stringify((await boss.call('GET', '/v1/audit')).body.entries)
    await expect.poll(log).toContain('"event":"session.ended"')
    const { body } = await boss.call('POST', '/v1/revoke', { user: 'dana' })
    expect(body).toMatchObject({
      withdrawn: [{ grant: asked.body.id, state: 'refused' }],
      sessions: 0,
      cut_off: ['idp.test/dana'],
    })
  })

  it('takes back what was asked ahead, though the broker died before it could', async () => {
    let ahead = 0
    const options = {
      policies: WANTS_APPROVAL.replace('principal is Human', 'principal'),
      limits: 'approval: { lapse: 2h }',
      now: () => Date.now() + ahead,
    }
    const { directory, broker } = await start(options)
    const asked = async (client: TestClient) =>
      (await client.call('POST', '/v1/grants', { key: 'k1', details: request() })).body.id
    const gone = [
      await asked(await harness.client(dana)),
      await asked(await harness.agent('claude', dana)),
    ]
    const spared = await asked(await harness.client({ ...dana, sub: 'dana2' }))
    await broker.stop()
    await cutOffIn(directory, { id: 'idp.test/dana', until: Date.now() })
    ahead = 40 * 60_000
    await start({ ...options, directory })
    const boss = await admin()
    const stateOf = async (id: string) =>
      (await boss.call('GET', `/v1/grants/${id}`)).body.grants[0].state
    for (const id of gone) await expect.poll(() => stateOf(id)).toBe('refused')
    expect(await stateOf(spared)).toBe('pending')
  })

  it('a silent renewal does not undo it: neither by the old key nor by a new one', async () => {
    await start()
    const [boss, theirs] = [await admin(), await harness.client(dana)]
    await boss.call('POST', '/v1/revoke', { user: 'dana' })
    expect(await signIn(dana, theirs)).toMatchObject({ body: { code: 'session_ended' } })
    const refused = { status: 400, body: { error: 'invalid_grant', code: 'token_invalid' } }
    expect(await signIn({ ...dana, auth_time: seconds() - 1 })).toMatchObject(refused)
    expect(await signIn({ ...dana, auth_time: undefined })).toMatchObject(refused)
    expect(await signIn({ sub: 'somebody-else' })).toMatchObject({ status: 200 })
  })

  it('a sign-in after it counts, and may be renewed without saying again when it was', async () => {
    await start()
    const boss = await admin()
    await harness.client(dana)
    await boss.call('POST', '/v1/revoke', { user: 'dana' })
    const again = new TestClient(harness.url, Date.now)
    const signedIn = { ...dana, auth_time: seconds() + 2 }
    expect(await signIn(signedIn, again)).toMatchObject({ status: 200 })
    expect(await signIn({ ...dana, auth_time: undefined }, again)).toMatchObject({ status: 200 })
    expect(await signIn({ ...dana, auth_time: seconds() - 60 }, again)).toMatchObject({
      body: { code: 'token_invalid' },
    })
  })

  it('a provider whose clock is ahead gives nobody a way around it', async () => {
    await start()
    const boss = await admin()
    const ahead = { ...dana, auth_time: seconds() + 8 }
    await harness.client(ahead)
    expect((await boss.call('POST', '/v1/revoke', { user: 'dana' })).body.sessions).toBe(1)
    expect(await signIn(ahead)).toMatchObject({ body: { code: 'token_invalid' } })
  })

  it('survives a restart', async () => {
    const first = await start()
    const boss = await admin()
    await harness.client(dana)
    await boss.call('POST', '/v1/revoke', { user: 'dana' })
    await first.broker.stop()
    const second = await start({ directory: first.directory })
    expect(await signIn(dana)).toMatchObject({ body: { code: 'token_invalid' } })
    expect(second.directory).toBe(first.directory)
  })

  it('ends their copilots too, and keeps these out', async () => {
    await start()
    const [boss, theirs] = [await admin(), await harness.client(dana)]
    const copilots = [await harness.agent('claude', dana), await harness.delegated(theirs)]
    const { body } = await boss.call('POST', '/v1/revoke', { user: 'dana' })
    expect(body).toMatchObject({ sessions: 3, cut_off: ['idp.test/dana'] })
    for (const copilot of copilots) {
      expect(await copilot.call('GET', '/v1/whoami')).toMatchObject({ status: 401 })
    }
    await expect(harness.agent('claude', dana)).rejects.toThrow('token_invalid')
  })

  it('may be about a copilot alone', async () => {
    await start()
    const [boss, theirs] = [await admin(), await harness.client(dana)]
    const copilot = await harness.agent('claude', dana)
    const { principal } = (await copilot.call('GET', '/v1/whoami')).body
    const { body } = await boss.call('POST', '/v1/revoke', { user: principal.name })
    expect(body).toMatchObject({ sessions: 1, cut_off: [principal.id] })
    expect(await copilot.call('GET', '/v1/whoami')).toMatchObject({ status: 401 })
    expect(await theirs.call('GET', '/v1/whoami')).toMatchObject({ status: 200 })
    await expect(harness.agent('claude', dana)).rejects.toThrow('token_invalid')
  })

  it('may be about a pipeline: its next job is let in by a token made after that', async () => {
    let now = Date.now()
    const audience = 'https://jit.test'
    const github = await PipelineIssuer.start('github', { audience })
    const shop = 'github.com/acme/shop: { id: 12345, owner_id: 678 }'
    await start({
      now: () => now,
      identity: [
        `{ issuer: https://token.actions.githubusercontent.com, kind: pipeline, audience: '${audience}', repositories: { ${shop} } }`,
      ],
      issuers: [github.provider],
    })
    const token = () => github.token({}, { now: Math.floor(now / 1000) })
    const open = async (idToken: string) => {
      const client = new TestClient(harness.url, () => now)
      const answer = await client.exchange(idToken)
      return { client, answer, status: answer.status }
    }
    const [boss, { client, answer }] = [await admin(), await open(await token())]
    await client.take(answer)
    const kept = await token()
    const { principal } = (await client.call('GET', '/v1/whoami')).body
    const { body } = await boss.call('POST', '/v1/revoke', { user: principal.id })
    expect(body).toMatchObject({ sessions: 1, cut_off: [principal.id] })
    const refused = (await open(kept)).answer
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({
      error_description: expect.stringContaining('only a token made after that counts'),
    })
    now += 2000
    expect((await open(await token())).status).toBe(200)
  })

  it('is nothing that a copilot does to itself: another of its name goes on', async () => {
    await start()
    const theirs = await harness.client(dana)
    const [copilot, other] = [await harness.delegated(theirs), await harness.delegated(theirs)]
    const { body } = await copilot.call('POST', '/v1/revoke', { scope: 'all' })
    expect(body).toMatchObject({ sessions: 0, cut_off: [] })
    expect(await other.call('GET', '/v1/whoami')).toMatchObject({ status: 200 })
    await harness.delegated(theirs)
  })

  it('of somebody unknown, or whom policy keeps from one, is a clear error', async () => {
    await start()
    const [boss, theirs, other] = [
      await admin(),
      await harness.client(dana),
      await harness.client(),
    ]
    for (const [who, user] of [
      [boss, 'nobody'],
      [other, 'dana'],
    ] as const) {
      const { status, body } = await who.call('POST', '/v1/revoke', { user })
      expect({ status, code: body.code }).toEqual({ status: 404, code: 'not_found' })
      expect(body.detail).toContain(user)
    }
    expect(await theirs.call('GET', '/v1/whoami')).toMatchObject({ status: 200 })
  })

  it('with leave to revoke alone ends grants, and no session', async () => {
    await start({ policies: REVOKERS })
    const boss = await harness.client({ sub: 'oncall', groups: ['oncall'] })
    const theirs = await harness.client(dana)
    const { granted } = await theirs.grant()
    const { body } = await boss.call('POST', '/v1/revoke', { user: 'dana' })
    expect(body).toMatchObject({
      receipts: [{ grant: granted.grant }],
      sessions: 0,
      cut_off: [],
    })
    expect(await theirs.call('GET', '/v1/whoami')).toMatchObject({ status: 200 })
  })

  it('is in the audit log: who, whom, which sessions and until when sign-ins are refused', async () => {
    await start()
    const [boss] = [await admin(), await harness.client(dana)]
    await boss.call('POST', '/v1/revoke', { user: 'dana' })
    const { body } = await boss.call('GET', '/v1/audit')
    const of = (event: string) =>
      body.entries.filter((entry: { event: string }) => entry.event === event)
    const principal = { id: 'idp.test/boss' }
    expect(of('session.cut_off')).toMatchObject([{ principal, subject: 'idp.test/dana' }])
    expect(of('session.ended')).toMatchObject([
      { principal, by: 'revoked', whose: { id: 'idp.test/dana' } },
    ])
  })
})

describe('revoking everybody', () => {
  it('ends all sessions, one’s own among them, and what is granted', async () => {
    await start()
    const [boss, theirs] = [await admin(), await harness.client(dana)]
    const { line } = await theirs.grant()
    const { body } = await boss.call('POST', '/v1/revoke', { scope: 'all' })
    expect(body).toMatchObject({ sessions: 2 })
    expect(body.cut_off).toEqual(expect.arrayContaining(['idp.test/boss', 'idp.test/dana']))
    await line.next('revoked')
    for (const client of [boss, theirs]) {
      expect(await client.call('GET', '/v1/whoami')).toMatchObject({ status: 401 })
    }
  })

  it('without leave ends one’s own alone', async () => {
    await start()
    const [theirs, other] = [await harness.client(dana), await harness.client()]
    const { body } = await theirs.call('POST', '/v1/revoke', { scope: 'all' })
    expect(body).toMatchObject({ sessions: 1, cut_off: ['idp.test/dana'] })
    expect(await other.call('GET', '/v1/whoami')).toMatchObject({ status: 200 })
  })
})

it('ending one’s own grants leaves the session be', async () => {
  await start()
  const theirs = await harness.client(dana)
  const { granted } = await theirs.grant()
  const { body } = await theirs.call('POST', '/v1/revoke', { scope: 'mine' })
  expect(body).toMatchObject({ receipts: [{ grant: granted.grant }], sessions: 0, cut_off: [] })
  expect(await theirs.call('GET', '/v1/whoami')).toMatchObject({ status: 200 })
})

/** As a broker leaves it that dies right after. */
async function cutOffIn(
  directory: string,
  { id, until }: { id: string; until: number },
): Promise<void> {
  await querySql(directory, 'INSERT INTO cut_offs VALUES (?, ?)', [id, until])
}

const WANTS_APPROVAL = `
@id("everyone") permit (principal is Human, action, resource in Environment::"dev");
@id("approval") forbid (principal, action, resource)
unless { context.approvals.contains(Group::"oncall") };
`
const REVOKERS = `
@id("everyone") permit (principal is Human, action, resource in Environment::"dev");
@id("revokers") permit (principal in Group::"oncall", action in [Action::"view", Action::"revoke"], resource);
`
