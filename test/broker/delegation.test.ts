import { decodeJwt } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { newSessionKey, thumbprintOf } from '../../src/auth/proof.ts'
import { Harness, request, TestClient } from './harness.ts'
import { auditOf, querySql } from './harness-store.ts'

const HOUR = 3_600_000
const POLICIES = `
@id("people") permit (principal is Human, action, resource);
@id("agents") permit (principal is Agent, action, resource);
@id("crew-only") forbid (principal is Agent, action == Action::"deploy", resource)
unless { principal.owner in Group::"admins" };
`

let harness: Harness
let now: number

beforeEach(async () => {
  now = Date.now()
  harness = await Harness.start({ now: () => now, policies: POLICIES })
})

afterEach(() => harness[Symbol.asyncDispose]())

const fresh = () => new TestClient(harness.url, () => now)
const codeOf = async (answer: Response) => ((await answer.json()) as { code: string }).code
const whoami = async (client: TestClient) => (await client.call('GET', '/v1/whoami')).body

const sessionEvents = () => auditEvents('session.%')

/** What the audit log says of such events. */
const auditEvents = (like: string) => auditOf(harness.directory, like)

describe('an agent that signs in as itself', () => {
  test('has an id and a name of its own, and the person who confirmed as its owner', async () => {
    const { principal } = await whoami(
      await harness.agent('claude', { preferred_username: 'dana', groups: ['admins'] }),
    )
    expect(principal).toEqual({
      kind: 'agent',
      id: 'idp.test/u1#jit-agent/claude',
      name: 'claude, for dana',
      groups: ['admins'],
      owner: 'idp.test/u1',
    })
  })

  test('is told apart from another of the same person', async () => {
    const [one, other] = [await harness.agent('claude'), await harness.agent('copilot')]
    expect((await whoami(one)).principal.id).not.toBe((await whoami(other)).principal.id)
    await one.grant({ task: 'plan' })
    expect((await other.call('GET', '/v1/grants')).body.grants).toEqual([])
  })

  test('is named in its token as the actor, its owner as the subject (RFC 8693)', async () => {
    expect(decodeJwt((await harness.agent('claude')).accessToken)).toMatchObject({
      sub: 'idp.test/u1',
      act: { sub: 'idp.test/u1#jit-agent/claude' },
    })
    expect(decodeJwt((await harness.client()).accessToken)).not.toHaveProperty('act')
  })

  test('keeps its name when it renews: another one is refused', async () => {
    const client = await harness.agent('claude')
    const renew = async (agent_name: string) =>
      client.exchange(await harness.idToken({ aud: 'jit-agent' }), { agent_name })
    expect(await codeOf(await renew('copilot'))).toBe('token_invalid')
    expect((await renew('claude')).status).toBe(200)
  })

  test.each([
    ['without a name', { aud: 'jit-agent' }, {}],
    ['with the token of a person', {}, { agent_name: 'claude' }],
    ['with a name that could drive a terminal', { aud: 'jit-agent' }, { agent_name: 'a\u001b[2J' }],
    ['with a name of 64 characters', { aud: 'jit-agent' }, { agent_name: 'a'.repeat(64) }],
    ['with a name that holds a slash', { aud: 'jit-agent' }, { agent_name: 'a/b' }],
  ])('%s is refused', async (_, claims, more) => {
    const answer = await fresh().exchange(await harness.idToken(claims), more)
    expect(await codeOf(answer)).toBe('request_invalid')
  })
})

describe('a delegated session', () => {
  test('is an agent of the person, with a key of its own; the person goes on as before', async () => {
    const person = await harness.client({ preferred_username: 'dana' })
    const agent = await harness.delegated(person)
    expect((await whoami(agent)).principal).toEqual({
      kind: 'agent',
      id: 'idp.test/u1#jit-cli/claude',
      name: 'claude, for dana',
      groups: [],
      owner: 'idp.test/u1',
    })
    expect(decodeJwt(agent.accessToken)).toMatchObject({
      sub: 'idp.test/u1',
      act: { sub: 'idp.test/u1#jit-cli/claude' },
      cnf: { jkt: thumbprintOf(agent.key) },
    })
    expect((await whoami(person)).principal.kind).toBe('human')
  })

  test('is recorded with its owner, its parent and its ceiling', async () => {
    await harness.delegated(await harness.client(), { ceiling: { tasks: ['plan'] } })
    const [person, agent] = await sessionEvents()
    expect(agent).toMatchObject({
      event: 'session.opened',
      principal: { kind: 'agent' },
      agent: 'claude',
      owner: 'idp.test/u1',
      parent: person?.session,
      ceiling: { tasks: ['plan'] },
    })
  })

  test.each([
    ['2 hours', {}, 2 * HOUR],
    ['what was asked for', { expires_in: 600 }, 600_000],
    ['2 hours, whatever was asked for', { expires_in: 36_000 }, 2 * HOUR],
  ])('lasts %s', async (_, asked, milliseconds) => {
    const agent = await harness.delegated(await harness.client(), asked)
    const until = Date.parse((await whoami(agent)).session_expires_at)
    expect(until).toBe(now + milliseconds)
  })

  test('never lasts longer than its parent', async () => {
    const person = await harness.client()
    const end = now + 12 * HOUR
    while (now < end - HOUR) {
      now += HOUR / 4
      await person.take(await person.exchange(await harness.idToken()))
    }
    const agent = await harness.delegated(person)
    expect(Date.parse((await whoami(agent)).session_expires_at)).toBe(end)
  })

  test('gets a new token with its old one and its own key, without the provider', async () => {
    const person = await harness.client()
    const agent = await harness.delegated(person)
    now += 20 * 60_000
    expect((await agent.call('GET', '/v1/whoami')).body.code).toBe('token_invalid')
    await agent.take(await agent.renew())
    expect((await whoami(agent)).principal.kind).toBe('agent')
  })

  test('follows the groups of its owner, with the grants that it has', async () => {
    const person = await harness.client({ groups: ['admins'] })
    const agent = await harness.delegated(person)
    const { line } = await agent.grant({ task: 'deploy' })
    expect((await person.exchange(await harness.idToken({ groups: [] }))).status).toBe(200)
    expect((await whoami(agent)).principal.groups).toEqual([])
    expect((await line.next('revoked')).ended_by).toBe('policy')
  })

  test('knows no sign-in but the one that it was delegated on', async () => {
    const person = await harness.client()
    const agent = await harness.delegated(person)
    now += 60_000
    await person.take(await person.exchange(await harness.idToken()))
    await agent.take(await agent.renew())
    const select = 'SELECT principal_kind AS kind, authenticated_at AS at FROM sessions'
    const rows = await querySql(harness.directory, select)
    const signedInAt = (kind: string) => Number(rows.find((row) => row.kind === kind)?.at)
    expect(signedInAt('human') - signedInAt('agent')).toBe(60_000)
  })
})

describe('the owner of a copilot', () => {
  test('sees what it holds and ends it; the copilot sees nothing of its owner', async () => {
    const person = await harness.client()
    const [itself, delegated] = [await harness.agent('claude'), await harness.delegated(person)]
    const lines = [await itself.grant({ task: 'plan' }), await delegated.grant({ task: 'plan' })]
    const own = await person.grant({ task: 'plan' })
    const shown = (await person.call('GET', '/v1/grants')).body.grants
    expect(shown.map(({ id }: { id: string }) => id).sort()).toEqual(
      [...lines, own].map(({ granted }) => granted.grant).sort(),
    )
    expect((await delegated.call('GET', '/v1/grants')).body.grants).toHaveLength(1)
    const theirs = `/v1/grants/${own.granted.grant}`
    expect((await delegated.call('GET', theirs)).status).toBe(404)
    for (const { granted, line } of lines) {
      expect((await person.call('POST', `/v1/grants/${granted.grant}/revoke`)).status).toBe(200)
      expect((await line.next('revoked')).ended_by).toBe('revoked')
    }
  })

  test('is nobody else, whatever their ids have in common', async () => {
    const agent = await harness.agent('claude')
    await agent.grant({ task: 'plan' })
    for (const sub of ['u', 'u11', 'u1#jit-agent/claude']) {
      const other = await harness.client({ sub })
      expect((await other.call('GET', '/v1/grants')).body.grants).toEqual([])
    }
  })
})

describe('a ceiling', () => {
  const ceiling = { tasks: ['plan'], environments: ['dev'], targets: ['shop'] }

  test('is told to whoever is under it', async () => {
    const agent = await harness.delegated(await harness.client(), { ceiling })
    expect((await whoami(agent)).ceiling).toEqual(ceiling)
  })

  test.each([
    ['task', { task: 'deploy' }, "task 'deploy'"],
    ['target', { task: 'plan', targets: ['shop', 'api'] }, "target 'api'"],
    [
      'environment',
      { task: 'plan', environment: 'prod', targets: ['vault'] },
      "environment 'prod'",
    ],
  ])('holds for the %s, whatever policy permits', async (_, details, outside) => {
    const person = await harness.client({ groups: ['admins'] })
    const agent = await harness.delegated(person, { ceiling })
    await expect(agent.grant(details)).rejects.toThrow(outside)
    await expect(agent.grant(details)).rejects.toThrow('"denied"')
    expect((await auditEvents('grant.denied')).at(-1)?.outside).toContain(outside)
    await agent.grant({ task: 'plan' })
  })

  test('still holds after a renewal', async () => {
    const agent = await harness.delegated(await harness.client(), { ceiling })
    await agent.take(await agent.renew())
    await expect(agent.grant({ task: 'deploy' })).rejects.toThrow('outside')
  })

  test('holds for what is asked ahead, and for using what another session of the agent asked for', async () => {
    const person = await harness.client({ groups: ['admins'] })
    const [wide, narrow] = [
      await harness.delegated(person),
      await harness.delegated(person, { ceiling }),
    ]
    const details = request({ task: 'deploy' })
    const ask = (agent: TestClient) =>
      agent.call('POST', '/v1/grants', { key: crypto.randomUUID(), details })
    expect(await ask(narrow)).toMatchObject({
      status: 403,
      body: { code: 'denied', detail: expect.stringContaining("task 'deploy'") },
    })
    const { id: grant } = (await ask(wide)).body
    const { claimed, command } = details
    const use = async (agent: TestClient) => {
      const line = await agent.connect()
      line.send({ type: 'redeem', grant, claimed, command })
      return line.next('granted')
    }
    await expect(use(narrow)).rejects.toThrow("task 'deploy'")
    expect((await use(wide)).grant).toBe(grant)
  })

  test('that names what there is not is refused, with what is meant', async () => {
    const person = await harness.client()
    const answer = await fresh().delegatedBy(person, {
      agent: 'claude',
      ceiling: { tasks: ['depoly'] },
    })
    expect(await answer.json()).toMatchObject({
      code: 'request_invalid',
      hint: expect.stringContaining('deploy'),
    })
  })

  test('can not be widened by handing the session on: only a person delegates', async () => {
    const person = await harness.client()
    const agent = await harness.delegated(person, { ceiling })
    expect(await codeOf(await fresh().delegatedBy(agent, { agent: 'other' }))).toBe('denied')
    const itself = await harness.agent('claude')
    expect(await codeOf(await fresh().delegatedBy(itself, { agent: 'other' }))).toBe('denied')
  })
})

describe('a delegated session ends', () => {
  test('with the logout of its owner, and its grants with it', async () => {
    const person = await harness.client()
    const agent = await harness.delegated(person)
    const { line } = await agent.grant({ task: 'plan' })
    await person.logout()
    expect((await line.next('revoked')).ended_by).toBe('session')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
    expect(await codeOf(await agent.renew())).toBe('session_ended')
    const ended = (await sessionEvents()).filter(({ event }) => event === 'session.ended')
    expect(ended.map(({ by }) => by)).toEqual(['logout', 'parent'])
  })

  test.each([
    ['nobody renews the session it comes from', 30 * 60_000],
    ['its own time is over', 2 * HOUR],
  ])('when %s', async (_, milliseconds) => {
    const agent = await harness.delegated(await harness.client())
    const { line } = await agent.grant({ task: 'plan', ttl: 7200 })
    now += milliseconds + 1000
    expect(await codeOf(await agent.renew())).toBe('session_ended')
    expect(await line.next('revoked')).toBeTruthy()
  })

  test('with its access: the person has to sign in after that to delegate to it again', async () => {
    const admin = await harness.client({ sub: 'boss', groups: ['admins'] })
    const person = await harness.client()
    const agent = await harness.delegated(person)
    const { id } = (await whoami(agent)).principal
    expect((await admin.call('POST', '/v1/revoke', { user: id })).body.cut_off).toEqual([id])
    expect((await whoami(agent)).code).toBe('session_ended')
    expect((await whoami(person)).principal.kind).toBe('human')
    const again = () => fresh().delegatedBy(person, { agent: 'claude' })
    expect(await codeOf(await again())).toBe('token_invalid')
    expect((await fresh().delegatedBy(person, { agent: 'another' })).status).toBe(200)
    now += 60_000
    await person.take(await person.exchange(await harness.idToken()))
    expect((await again()).status).toBe(200)
  })

  test('by its own logout, and that of nobody else', async () => {
    const person = await harness.client()
    const [one, other] = [await harness.delegated(person), await harness.delegated(person)]
    await one.logout()
    expect((await whoami(one)).code).toBe('session_ended')
    expect((await whoami(other)).principal.kind).toBe('agent')
    expect((await whoami(person)).principal.kind).toBe('human')
  })

  test('not because it asked for nothing: the session it comes from counts', async () => {
    const person = await harness.client()
    const agent = await harness.delegated(person)
    for (let quarter = 0; quarter < 4; quarter += 1) {
      now += HOUR / 4
      await person.take(await person.exchange(await harness.idToken()))
    }
    expect((await agent.renew()).status).toBe(200)
  })
})

describe('a delegation can not be stolen', () => {
  test('with the token of a person alone: their key has to sign', async () => {
    const person = await harness.client()
    const thief = fresh()
    const proof = thief.proof('POST', '/oauth/token', {
      accessToken: person.accessToken,
      delegation: { jkt: thumbprintOf(thief.key), agent: 'claude' },
    })
    expect(await codeOf(await thief.delegatedWith(person.accessToken, proof))).toBe('proof_invalid')
  })

  test('with a proof that was meant for another key', async () => {
    const person = await harness.client()
    const jkt = thumbprintOf(newSessionKey())
    const answer = await fresh().delegatedBy(person, { agent: 'claude', jkt })
    expect(await codeOf(answer)).toBe('proof_invalid')
  })

  test('with a proof that delegates nothing', async () => {
    const person = await harness.client()
    const proof = person.proof('POST', '/oauth/token')
    const answer = await fresh().delegatedWith(person.accessToken, proof)
    expect(await codeOf(answer)).toBe('proof_invalid')
  })

  test('by sending it again, in part or whole', async () => {
    const person = await harness.client()
    const agent = fresh()
    const subjectProof = person.proof('POST', '/oauth/token', {
      delegation: { jkt: thumbprintOf(agent.key), agent: 'claude' },
    })
    const proof = agent.proof('POST', '/oauth/token', { accessToken: person.accessToken })
    const send = (options = {}) => agent.delegatedWith(person.accessToken, subjectProof, options)
    expect((await send({ proof })).status).toBe(200)
    expect(await codeOf(await send({ proof }))).toBe('proof_replayed')
    expect(await codeOf(await send())).toBe('proof_replayed')
  })

  test('by a key that has a session already', async () => {
    const person = await harness.client()
    const agent = await harness.delegated(person)
    expect(await codeOf(await agent.delegatedBy(person, { agent: 'other' }))).toBe('token_invalid')
  })

  test('by renewing with the token of another session, or without its key', async () => {
    const person = await harness.client()
    const agent = await harness.delegated(person)
    expect(await codeOf(await person.renew())).toBe('token_invalid')
    const thief = fresh()
    thief.accessToken = agent.accessToken
    expect(await codeOf(await thief.renew())).toBe('token_invalid')
  })
})

describe('nobody floods the broker or its log', () => {
  test('with sessions at once, or one after the other', async () => {
    const person = await harness.client()
    const refused = async () => {
      const answer = await fresh().delegatedBy(person, { agent: 'claude' })
      return answer.status === 200 ? undefined : codeOf(answer)
    }
    const live = []
    for (let count = 0; count < 20; count += 1) live.push(await harness.delegated(person))
    expect(await refused()).toBe('limit_reached')
    await live[0]?.logout()
    expect(await refused()).toBeUndefined()
    await live[1]?.logout()
    for (let count = 21; count < 200; count += 1) {
      await (await harness.delegated(person)).logout()
    }
    expect(await refused()).toBe('limit_reached')
    expect((await whoami(person)).principal.kind).toBe('human')
  })

  test('with renewals: one a minute is recorded', async () => {
    const agent = await harness.delegated(await harness.client())
    for (let count = 0; count < 5; count += 1) await agent.take(await agent.renew())
    expect(await auditEvents('session.renewed')).toEqual([])
    now += 61_000
    for (let count = 0; count < 5; count += 1) await agent.take(await agent.renew())
    expect(await auditEvents('session.renewed')).toHaveLength(1)
  })
})
