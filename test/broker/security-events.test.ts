import { generateKeyPair, SignJWT } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { Harness, type HarnessOptions, request, TestClient } from './harness.ts'
import { querySql } from './harness-store.ts'
import { FakeProvider } from './provider.ts'

const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
const CREDENTIAL_CHANGE = 'https://schemas.openid.net/secevent/caep/event-type/credential-change'
const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification'
const DANA = { format: 'iss_sub', iss: 'https://idp.test', sub: 'dana' }
const EVENTS = `events:
  - { issuer: https://signals.test, audience: https://jit.test, identity: https://idp.test }`

let harness: Harness
let transmitter: FakeProvider

const seconds = () => Math.floor(Date.now() / 1000)

async function start(options: HarnessOptions = {}) {
  if (options.directory === undefined) {
    transmitter = new FakeProvider('https://signals.test')
    await transmitter.rotate('s1')
  }
  harness = await Harness.start({ limits: EVENTS, issuers: [transmitter], ...options })
  return harness
}

/** A security event token, changed as a test says. */
function event({
  claims = {},
  header = {},
  of = SESSION_REVOKED,
  payload = {},
}: {
  claims?: Record<string, unknown>
  header?: Record<string, unknown>
  of?: string
  payload?: Record<string, unknown>
} = {}): Promise<string> {
  const all = {
    aud: 'https://jit.test',
    iat: seconds(),
    jti: crypto.randomUUID(),
    sub_id: DANA,
    events: { [of]: payload },
    // Shared Signals Framework 1.0: neither has a place here.
    sub: undefined,
    exp: undefined,
    auth_time: undefined,
    ...claims,
  }
  return transmitter.sign(all, { typ: 'secevent+jwt', ...header })
}

async function push(token: string, type = 'application/secevent+jwt') {
  const answer = await fetch(new URL('/ssf/events', harness.url), {
    method: 'POST',
    headers: { 'Content-Type': type },
    body: token,
  })
  const text = await answer.text()
  const body = text === '' ? undefined : (JSON.parse(text) as { err: string; description: string })
  return { status: answer.status, language: answer.headers.get('Content-Language'), body }
}

const taken = { status: 202, body: undefined }
const isOut = async (client: TestClient) => (await client.call('GET', '/v1/whoami')).status === 401

async function signIn(claims: Record<string, unknown>): Promise<number> {
  const client = new TestClient(harness.url, Date.now)
  return (await client.exchange(await harness.idToken({ sub: 'dana', ...claims }))).status
}

afterEach(async () => {
  await harness[Symbol.asyncDispose]()
})

describe('a security event', () => {
  it.each([SESSION_REVOKED, CREDENTIAL_CHANGE])('%s ends access as a revoke does', async (of) => {
    await start()
    const [dana, other] = [await harness.client({ sub: 'dana' }), await harness.client()]
    const { line } = await dana.grant()
    expect(await push(await event({ of }))).toMatchObject(taken)
    expect(await line.next('revoked')).toMatchObject({ ended_by: 'revoked' })
    expect(await isOut(dana)).toBe(true)
    expect(await signIn({ auth_time: seconds() - 1 })).toBe(400)
    expect(await isOut(other)).toBe(false)
  })

  it('of before the last sign-in leaves that one be', async () => {
    await start()
    const dana = await harness.client({ sub: 'dana', auth_time: seconds() - 10 })
    const before = { event_timestamp: seconds() - 20 }
    expect(await push(await event({ payload: before }))).toMatchObject(taken)
    expect(await isOut(dana)).toBe(false)
    expect(await signIn({ auth_time: seconds() - 30 })).toBe(400)
    expect(await signIn({ auth_time: seconds() - 5 })).toBe(200)
  })

  it('of a fraction of a second is kept in whole milliseconds, and none too early', async () => {
    await start()
    await push(await event({ payload: { event_timestamp: 1_700_000_000.0001 } }))
    const [row] = await querySql(harness.directory, 'SELECT until FROM cut_offs')
    expect(Number(row?.until)).toBe(1_700_000_000_001)
  })

  it('of the future counts from now on: the next sign-in is not lost', async () => {
    await start()
    const future = { event_timestamp: seconds() + 3600 }
    expect(await push(await event({ payload: future }))).toMatchObject(taken)
    expect(await signIn({ auth_time: seconds() + 2 })).toBe(200)
  })

  it('names its subject alone, or as the user of a complex one', async () => {
    await start()
    const dana = await harness.client({ sub: 'dana' })
    const sub_id = { format: 'complex', user: DANA, session: { format: 'opaque', id: 'x' } }
    expect(await push(await event({ claims: { sub_id } }))).toMatchObject(taken)
    expect(await isOut(dana)).toBe(true)
  })

  it('about somebody unknown is taken and recorded: they may come later', async () => {
    await start()
    expect(await push(await event())).toMatchObject(taken)
    const boss = await harness.client({ sub: 'boss', groups: ['admins'] })
    const { body } = await boss.call('GET', '/v1/audit')
    expect(
      body.entries.find((entry: { event: string }) => entry.event === 'session.cut_off'),
    ).toMatchObject({
      principal: null,
      subject: 'idp.test/dana',
      issuer: 'https://signals.test',
      signals: ['session-revoked'],
    })
    expect(await signIn({ auth_time: seconds() - 1 })).toBe(400)
  })

  it('of a kind that means nothing here is taken, the transmitter’s test among them', async () => {
    await start()
    const dana = await harness.client({ sub: 'dana' })
    const sub_id = { format: 'opaque', id: 'stream-1' }
    expect(await push(await event({ of: VERIFICATION, claims: { sub_id } }))).toMatchObject(taken)
    expect(await push(await event({ of: 'https://events.test/other' }))).toMatchObject(taken)
    expect(await isOut(dana)).toBe(false)
  })

  it('delivered again is acknowledged, and has no effect: not even after a restart', async () => {
    await start()
    const token = await event()
    expect(await push(token)).toMatchObject(taken)
    const { directory } = harness
    await harness.broker.stop()
    await start({ directory })
    const dana = await harness.client({ sub: 'dana', auth_time: seconds() + 2 })
    expect(await push(token)).toMatchObject(taken)
    expect(await isOut(dana)).toBe(false)
  })

  it('of after a sign-in takes back what was asked for on it, however late, and in a session long over', async () => {
    let ahead = 0
    const limits = `approval: { lapse: 2h }\n${EVENTS}`
    await start({ policies: WANTS_APPROVAL, limits, now: () => Date.now() + ahead })
    const dana = await harness.client({ sub: 'dana', auth_time: seconds() - 20 })
    const asked = await dana.call('POST', '/v1/grants', { key: 'k1', details: request() })
    ahead = 40 * 60_000
    const boss = await harness.client({
      sub: 'boss',
      preferred_username: 'boss',
      groups: ['admins'],
    })
    const log = async () => JSON.stringify((await boss.call('GET', '/v1/audit')).body.entries)
    await expect.poll(log).toContain('"event":"session.ended"')
    await push(await event({ payload: { event_timestamp: seconds() - 10 } }))
    const { body } = await boss.call('GET', `/v1/grants/${asked.body.id}`)
    expect(body.grants).toMatchObject([{ state: 'refused' }])
  })

  it('delivered again takes back nothing that was asked for since', async () => {
    await start({ policies: WANTS_APPROVAL })
    const token = await event()
    await push(token)
    const dana = await harness.client({ sub: 'dana', auth_time: seconds() + 2 })
    const asked = await dana.call('POST', '/v1/grants', { key: 'k1', details: request() })
    expect(await push(token)).toMatchObject(taken)
    const { body } = await dana.call('GET', `/v1/grants/${asked.body.id}`)
    expect(body.grants).toMatchObject([{ state: 'pending' }])
  })
})

describe('a security event is refused', () => {
  const refusals: [string, () => Promise<string>, string][] = [
    [
      'addressed to somebody else',
      () => event({ claims: { aud: 'https://x.test' } }),
      'invalid_audience',
    ],
    [
      'of an unknown issuer',
      () => event({ claims: { iss: 'https://idp.test' } }),
      'invalid_issuer',
    ],
    ['that is another kind of token', () => event({ header: { typ: 'JWT' } }), 'invalid_request'],
    ['without a type', () => event({ header: { typ: undefined } }), 'invalid_request'],
    ['without an id', () => event({ claims: { jti: undefined } }), 'invalid_request'],
    ['from the future', () => event({ claims: { iat: seconds() + 60 } }), 'invalid_request'],
    ['too old', () => event({ claims: { iat: seconds() - 8 * 86_400 } }), 'invalid_request'],
    ['without an event', () => event({ claims: { events: {} } }), 'invalid_request'],
    ['that is no token', async () => 'nonsense', 'invalid_issuer'],
    [
      'signed by another key',
      async () => {
        const { privateKey } = await generateKeyPair('ES256')
        return forged(privateKey, 'ES256')
      },
      'invalid_key',
    ],
    [
      'signed with a secret that is the public key',
      () => forged(new TextEncoder().encode(JSON.stringify(transmitter.published[0])), 'HS256'),
      'invalid_key',
    ],
    [
      'about people of another issuer',
      () => event({ claims: { sub_id: { ...DANA, iss: 'https://other.test' } } }),
      'access_denied',
    ],
    [
      'whose subject is an address: anybody may have had it before',
      () => event({ claims: { sub_id: { format: 'email', email: 'dana@acme.test' } } }),
      'invalid_request',
    ],
  ]

  function forged(key: Parameters<SignJWT['sign']>[0], alg: string): Promise<string> {
    const claims = { events: { [SESSION_REVOKED]: {} }, sub_id: DANA, jti: crypto.randomUUID() }
    return new SignJWT(claims)
      .setProtectedHeader({ alg, kid: 's1', typ: 'secevent+jwt' })
      .setIssuer('https://signals.test')
      .setAudience('https://jit.test')
      .setIssuedAt()
      .sign(key)
  }

  it.each(refusals)('%s', async (_, token, err) => {
    await start()
    const dana = await harness.client({ sub: 'dana' })
    const answer = await push(await token())
    expect(answer).toMatchObject({ status: 400, language: 'en', body: { err } })
    expect(await isOut(dana)).toBe(false)
  })

  it('sent as something else', async () => {
    await start()
    expect(await push(await event(), 'application/jwt')).toMatchObject({
      status: 400,
      body: { err: 'invalid_request' },
    })
  })

  it('for now, while its keys are out of reach: its transmitter tries again', async () => {
    await start()
    transmitter.documents.set('https://signals.test/jwks', () => new Response('', { status: 500 }))
    const dana = await harness.client({ sub: 'dana' })
    expect(await push(await event())).toMatchObject({ status: 503 })
    expect(await isOut(dana)).toBe(false)
  })
})

const WANTS_APPROVAL = `
@id("everyone") permit (principal is Human, action, resource in Environment::"dev");
@id("approval") forbid (principal, action, resource)
unless { context.approvals.contains(Group::"oncall") };
`
