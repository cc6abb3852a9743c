import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { LIFELINE_CLOSE } from '../../src/protocol/lifeline.ts'
import type { Sandbox } from '../../src/protocol/sandbox.ts'
import { Harness, type HarnessOptions, request, type TestClient } from './harness.ts'
import { auditOf } from './harness-store.ts'
import { RawSandboxLine, sandboxOf } from './sandbox-lines.ts'

const POLICIES = `
@id("people") permit (principal is Human, action, resource);
@id("agents") permit (principal is Agent, action, resource);
@id("packages") permit (principal is Agent, action == Action::"reach", resource in Domain::"packages.dev");
@id("no-secrets") forbid (principal, action == Action::"reach", resource in Domain::"secret.packages.dev");
`

let harness: Harness
let now: number

const start = (options: HarnessOptions = {}) =>
  Harness.start({ now: () => now, policies: POLICIES, ...options })

beforeEach(async () => {
  now = Date.now()
  harness = await start()
})

afterEach(() => harness[Symbol.asyncDispose]())

/** What the audit log says of such events. */
const entries = (like: string, { directory } = harness) => auditOf(directory, like)

const listed = async (client: TestClient, scope = 'mine'): Promise<Sandbox[]> =>
  (await client.call('GET', `/v1/sandboxes?scope=${scope}`)).body.sandboxes

describe('a sandbox', () => {
  test('may reach what policy permits of what its profile names; both are recorded with who said so', async () => {
    const agent = await harness.delegated(await harness.client())
    const domains = [
      'cdn.packages.dev',
      'secret.packages.dev',
      '*.packages.dev',
      'evil.example.com',
      'cdn.packages.dev',
    ]
    const { sandbox } = await sandboxOf(harness, agent, { profile: 'review', domains })
    const refused = ['secret.packages.dev', '*.packages.dev', 'evil.example.com']
    expect(sandbox).toMatchObject({ domains: ['cdn.packages.dev'], refused, profile: 'review' })
    expect(sandbox.principal).toMatchObject({ kind: 'agent', owner: 'idp.test/u1' })
    const [opened] = await entries('sandbox.opened')
    expect(opened).toMatchObject({
      sandbox: sandbox.id,
      owner: 'idp.test/u1',
      domains: ['cdn.packages.dev'],
      refused,
      command: { argv: ['/usr/bin/claude', '-p'] },
    })
    expect(opened?.decisions).toMatchObject([
      { domain: 'cdn.packages.dev', decision: { effect: 'permit', policies: ['packages'] } },
      {
        domain: 'secret.packages.dev',
        decision: { because: 'forbidden', policies: ['no-secrets'] },
      },
      { domain: '*.packages.dev', decision: { because: 'forbidden', policies: ['no-secrets'] } },
      { domain: 'evil.example.com', decision: { because: 'not-permitted', policies: [] } },
    ])
  })

  test("is a copilot's alone: a person's session gets none", async () => {
    const person = await harness.client()
    await expect(sandboxOf(harness, person)).rejects.toMatchObject({ code: 'denied' })
    expect(await entries('sandbox.%')).toEqual([])
  })

  test('is the only one of a session that was delegated for it; of an own sign-in there may be several', async () => {
    const delegated = await harness.delegated(await harness.client())
    await sandboxOf(harness, delegated)
    await expect(sandboxOf(harness, delegated)).rejects.toMatchObject({ code: 'limit_reached' })
    const own = await harness.agent('claude')
    await sandboxOf(harness, own)
    await sandboxOf(harness, own)
    expect(await entries('sandbox.opened')).toHaveLength(3)
  })

  test('that closes takes its delegated session with it, and what was granted in it', async () => {
    const agent = await harness.delegated(await harness.client())
    const line = await sandboxOf(harness, agent)
    const { line: lifeline } = await agent.grant()
    await line.close()
    expect(await entries('sandbox.ended')).toMatchObject([{ sandbox: line.sandbox.id, by: 'exit' }])
    expect(await entries('session.ended')).toMatchObject([{ by: 'sandbox' }])
    expect((await lifeline.next('revoked')).ended_by).toBe('session')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
    expect((await agent.call('GET', '/v1/whoami')).body.code).toBe('session_ended')
  })

  test("that closes leaves an agent's own sign-in and its grants alone", async () => {
    const agent = await harness.agent('claude')
    const line = await sandboxOf(harness, agent)
    await agent.grant()
    await line.close()
    expect(await entries('session.ended')).toEqual([])
    expect(harness.shop.handles.size).toBe(1)
    expect(await listed(agent)).toEqual([])
  })

  test('whose line is lost is ended after the grace, and its session with it', async () => {
    const agent = await harness.delegated(await harness.client())
    const gone = new AbortController()
    const line = await sandboxOf(harness, agent, { signal: gone.signal })
    gone.abort()
    expect(await entries('sandbox.ended')).toEqual([])
    await expect
      .poll(() => entries('sandbox.ended'))
      .toMatchObject([{ sandbox: line.sandbox.id, by: 'lifeline' }])
    expect(await entries('session.ended')).toMatchObject([{ by: 'sandbox' }])
  })

  test('goes on where the supervisor comes back within the grace', async () => {
    const agent = await harness.delegated(await harness.client())
    const first = await RawSandboxLine.open(harness, agent)
    first.sendOpen()
    const opened = await first.next()
    if (opened.type !== 'opened') throw new Error(opened.type)
    first.cut()
    const second = await RawSandboxLine.open(harness, agent)
    second.send({ type: 'reopen', sandbox: opened.sandbox.id })
    expect(await second.next()).toEqual(opened)
    const third = await RawSandboxLine.open(harness, agent)
    third.send({ type: 'reopen', sandbox: opened.sandbox.id })
    expect(await third.next()).toEqual(opened)
    expect(await second.closed).toBe(LIFELINE_CLOSE.replaced)
    third.send({ type: 'close' })
    expect(await third.closed).toBe(LIFELINE_CLOSE.done)
    expect(await entries('sandbox.ended')).toMatchObject([{ by: 'exit' }])
  })

  test("is not another session's to take over", async () => {
    const person = await harness.client()
    const line = await sandboxOf(harness, await harness.delegated(person))
    const thief = await RawSandboxLine.open(harness, await harness.delegated(person))
    thief.send({ type: 'reopen', sandbox: line.sandbox.id })
    expect(await thief.next()).toMatchObject({ problem: { code: 'not_found' } })
    expect(await thief.closed).toBe(LIFELINE_CLOSE.done)
    await line.close()
  })

  test('is not opened by messages that are none', async () => {
    const agent = await harness.agent('claude')
    for (const message of [
      'no JSON',
      { type: 'open', profile: '', domains: [] },
      { type: 'open', profile: '', domains: ['localhost'], command: {} },
    ]) {
      const line = await RawSandboxLine.open(harness, agent)
      line.send(message)
      expect(await line.next()).toMatchObject({ problem: { code: 'request_invalid' } })
      expect(await line.closed).toBe(LIFELINE_CLOSE.badMessage)
    }
    const line = await RawSandboxLine.open(harness, agent)
    line.send({ type: 'refusals', refusals: [{ host: 'x', port: 1, count: 1 }] })
    expect(await line.next()).toMatchObject({ problem: { code: 'request_invalid' } })
    const twice = await RawSandboxLine.open(harness, agent)
    twice.sendOpen()
    twice.sendOpen()
    expect(await twice.next()).toMatchObject({ type: 'opened' })
    expect(await twice.next()).toMatchObject({ problem: { code: 'request_invalid' } })
  })
})

describe('the end of its session', () => {
  const ways: [string, (people: { person: TestClient; agent: TestClient }) => Promise<unknown>][] =
    [
      ['the owner signing out', ({ person }) => person.logout()],
      ['the copilot signing out', ({ agent }) => agent.logout()],
      ['the owner being cut off', ({ person }) => revoke(person, { user: 'idp.test/u1' })],
      ['the kill switch', ({ person }) => revoke(person, { agent: 'claude' })],
      ['the end of its time', async () => (now += 3 * 3_600_000)],
    ]
  const revoke = (client: TestClient, body: object) => client.call('POST', '/v1/revoke', body)

  test.each(ways)('by %s stops a sandbox at once', async (_, end) => {
    const person = await harness.client()
    const agent = await harness.delegated(person)
    const line = await sandboxOf(harness, agent)
    await end({ person, agent })
    expect((await line.ended).reason).toMatch(/session/)
    expect(await entries('sandbox.ended')).toMatchObject([{ by: 'session' }])
  })

  test('while a sandbox is being opened leaves none behind', async () => {
    const person = await harness.client()
    for (const _ of Array.from({ length: 5 })) {
      const agent = await harness.delegated(person)
      const opening = sandboxOf(harness, agent).then(
        (line) => line.ended,
        (thrown) => thrown,
      )
      await agent.logout()
      await opening
    }
    expect(await listed(person)).toEqual([])
    const opened = (await entries('sandbox.opened')).map(({ sandbox }) => sandbox)
    expect((await entries('sandbox.ended')).map(({ sandbox }) => sandbox)).toEqual(opened)
  })

  test('by a policy that changes stops what it permits no more', async () => {
    const agent = await harness.agent('claude')
    const lost = await sandboxOf(harness, agent, { domains: ['cdn.packages.dev'] })
    const kept = await sandboxOf(harness, agent)
    const stricter = POLICIES.replace(/@id\("packages"\)[^;]+;/, '')
    writeFileSync(join(harness.directory, 'tasks.cedar'), stricter)
    await harness.broker.reload()
    expect((await lost.ended).reason).toMatch(/policy/)
    expect(await entries('sandbox.ended')).toMatchObject([
      { by: 'policy', sandbox: lost.sandbox.id },
    ])
    expect((await listed(agent)).map(({ id }) => id)).toEqual([kept.sandbox.id])
  })
})

describe('a supervisor', () => {
  test('knows by itself when the time of its session is over', async () => {
    const agent = await harness.delegated(await harness.client())
    // Two hours less 200 ms from now, by its own clock.
    const clock = { ...systemClock, now: () => Date.now() + 2 * 3_600_000 - 200 }
    const line = await sandboxOf(harness, agent, { clock })
    expect(await line.ended).toEqual({ reason: 'the time of its session is over' })
  })

  test('that gives up while it opens leaves no connection', async () => {
    const agent = await harness.agent('claude')
    const gone = new AbortController()
    const opening = sandboxOf(harness, agent, { signal: gone.signal })
    gone.abort(new Error('no'))
    await expect(opening).rejects.toThrow('no')
    await expect(sandboxOf(harness, agent, { signal: gone.signal })).rejects.toThrow('no')
  })

  test('whose line was lost finds it ended when it comes back', async () => {
    const agent = await harness.agent('claude')
    const line = await sandboxOf(harness, agent)
    const other = await RawSandboxLine.open(harness, agent)
    other.send({ type: 'reopen', sandbox: line.sandbox.id })
    await other.next()
    expect(await line.ended).toMatchObject({ reason: expect.any(String) })
    other.send({ type: 'close' })
    expect(await other.closed).toBe(LIFELINE_CLOSE.done)
    const late = await RawSandboxLine.open(harness, agent)
    late.send({ type: 'reopen', sandbox: line.sandbox.id })
    expect(await late.next()).toMatchObject({ problem: { code: 'grant_ended' } })
    expect(await late.closed).toBe(LIFELINE_CLOSE.done)
  })
})

describe('a restart', () => {
  test('is survived by a sandbox that comes back within the grace; another is ended', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'jit-sandboxes-'))
    const options = { directory, lifeline: 'grace: 2s, suspend_grace: 20s' }
    const first = await start(options)
    const person = await first.client()
    const kept = await sandboxOf(first, await first.delegated(person))
    const gone = new AbortController()
    const lost = await sandboxOf(first, await first.delegated(person), { signal: gone.signal })
    gone.abort()
    await first.broker.stop()
    const second = await start({ ...options, port: Number(new URL(first.url).port) })
    await expect
      .poll(() => entries('sandbox.ended', second))
      .toMatchObject([{ sandbox: lost.sandbox.id, by: 'lifeline' }])
    expect((await listed(person)).map(({ id }) => id)).toEqual([kept.sandbox.id])
    await kept.close()
    expect(await entries('sandbox.ended', second)).toMatchObject([{}, { by: 'exit' }])
    await second.broker.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  test('that is for good stops them all', async () => {
    const line = await sandboxOf(harness, await harness.agent('claude'))
    await harness.broker.drain(1000)
    expect(await line.ended).toMatchObject({ reason: expect.stringMatching('lost') })
    expect(await harness.broker.drain(0)).toEqual([])
  })
})

describe('what a sandbox may not reach', () => {
  test('is recorded: 64 hosts apart and 60 entries a minute, the rest as a sum', async () => {
    const agent = await harness.agent('claude')
    const line = await sandboxOf(harness, agent)
    const hosts = Array.from({ length: 100 }, (_, index) => `h${index}.example.com`)
    line.refused(hosts.map((host) => ({ host, port: 443, count: 2 })))
    line.refused([{ host: 'h0.example.com', port: 443, count: 3 }])
    await line.close()
    const refused = await entries('sandbox.refused')
    expect(refused).toHaveLength(61)
    expect(refused[0]).toMatchObject({ host: 'h0.example.com', port: 443, count: 5 })
    expect(refused.at(-1)).toMatchObject({ sandbox: line.sandbox.id, more: 80 })
  })
})

describe('the list of sandboxes', () => {
  test("has one's own and one's copilots', with what they hold, and others' as policy lets one see", async () => {
    const dana = await harness.client({ sub: 'dana' })
    const agent = await harness.delegated(dana)
    const { sandbox } = await sandboxOf(harness, agent)
    const other = await harness.delegated(await harness.client({ sub: 'kim' }))
    const { sandbox: others } = await sandboxOf(harness, other)
    const { granted } = await agent.grant()
    expect(await listed(dana)).toEqual([{ ...sandbox, grants: [granted.grant] }])
    expect((await listed(agent)).map(({ id }) => id)).toEqual([sandbox.id])
    expect((await listed(dana, 'all')).map(({ id }) => id)).toEqual([sandbox.id])
    const admin = await harness.client({ sub: 'root', groups: ['admins'] })
    expect(await listed(admin)).toEqual([])
    const all = (await listed(admin, 'all')).map(({ id }) => id)
    expect(all.sort()).toEqual([sandbox.id, others.id].sort())
  })
})

describe('the kill switch for copilots', () => {
  const stop = (client: TestClient, agent: string) => client.call('POST', '/v1/revoke', { agent })

  test("ends every session of one's own copilots of that name, and what they hold", async () => {
    const dana = await harness.client({ sub: 'dana' })
    const delegated = [await harness.delegated(dana), await harness.delegated(dana)]
    const own = await harness.agent('claude', { sub: 'dana' })
    const other = await harness.delegated(dana, { agent: 'copilot' })
    const kims = await harness.delegated(await harness.client({ sub: 'kim' }))
    const lines = await Promise.all([...delegated, own].map((agent) => sandboxOf(harness, agent)))
    const kept = await Promise.all([other, kims].map((agent) => sandboxOf(harness, agent)))
    await own.grant()
    await delegated[0]?.grant()
    const { status, body } = await stop(dana, 'claude')
    expect(status).toBe(200)
    expect(body).toMatchObject({ sessions: 3, cut_off: [] })
    expect(body.receipts).toHaveLength(2)
    await Promise.all(lines.map(({ ended }) => ended))
    expect(harness.shop.handles.size).toBe(0)
    const live = (await entries('sandbox.ended')).map(({ sandbox }) => sandbox)
    expect(live).not.toContain(kept[0]?.sandbox.id)
    expect(live).not.toContain(kept[1]?.sandbox.id)
    const again = await harness.delegated(dana)
    expect((await again.call('GET', '/v1/whoami')).status).toBe(200)
  })

  test('takes back what a copilot asked ahead', async () => {
    const dana = await harness.client({ sub: 'dana' })
    const agent = await harness.delegated(dana)
    await agent.call('POST', '/v1/grants', { key: 'k', details: request() })
    expect((await stop(dana, 'claude')).body.withdrawn).toMatchObject([{ state: 'refused' }])
  })

  test("reaches others' with leave to end their access, and nobody's without", async () => {
    const kims = await harness.delegated(await harness.client({ sub: 'kim' }))
    const line = await sandboxOf(harness, kims)
    const dana = await harness.client({ sub: 'dana' })
    expect(await stop(dana, 'claude')).toMatchObject({ status: 404, body: { code: 'not_found' } })
    const { body } = await stop(await harness.client({ sub: 'root', groups: ['admins'] }), 'claude')
    expect(body).toMatchObject({ sessions: 1 })
    expect((await line.ended).reason).toMatch('revoked')
    expect((await entries('session.ended')).at(-1)).toMatchObject({
      by: 'revoked',
      principal: { id: 'idp.test/root' },
      whose: { id: 'idp.test/kim#jit-cli/claude' },
    })
  })

  test('is not a copilot’s to use', async () => {
    const agent = await harness.delegated(await harness.client())
    expect((await stop(agent, 'claude')).body.code).toBe('denied')
  })

  test('says so where there is nobody of that name', async () => {
    const { body } = await stop(await harness.client(), 'nobody')
    expect(body).toMatchObject({ code: 'not_found' })
  })
})
