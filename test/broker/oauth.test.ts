import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { newSessionKey } from '../../src/auth/proof.ts'
import { Harness, TestClient } from './harness.ts'

let harness: Harness
let now: number

beforeEach(async () => {
  now = Date.now()
  harness = await Harness.start({ now: () => now })
})

afterEach(() => harness[Symbol.asyncDispose]())

const fresh = () => new TestClient(harness.url, () => now)
const codeOf = async (answer: Response) => ((await answer.json()) as { code: string }).code

describe('an identity token', () => {
  test('opens one session; the same token opens no second one', async () => {
    const token = await harness.idToken()
    expect((await fresh().exchange(token)).status).toBe(200)
    expect(await codeOf(await fresh().exchange(token))).toBe('token_invalid')
  })

  test.each([
    ['of another audience', { aud: 'another-client' }],
    ['expired', { exp: 1 }],
    ['issued more than 5 minutes ago', { iat: Math.floor(Date.now() / 1000) - 400 }],
    ['of an issuer that is not configured', { iss: 'https://other.test' }],
  ])('%s is refused', async (_, claims) => {
    const answer = await fresh().exchange(await harness.idToken(claims))
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: 'invalid_grant', code: 'token_invalid' })
  })

  test('whose name has to be cut is cut between characters', async () => {
    const preferred_username = `${'\u0001'.repeat(51)}\u{1f600}`
    expect((await fresh().exchange(await harness.idToken({ preferred_username }))).status).toBe(200)
  })

  test('with alg none, or signed by another key, is refused', async () => {
    const [header, payload] = (await harness.idToken()).split('.')
    const none = Buffer.from('{"alg":"none"}').toString('base64url')
    expect((await fresh().exchange(`${none}.${payload}.`)).status).toBe(400)
    expect((await fresh().exchange(`${header}.${payload}.${'A'.repeat(86)}`)).status).toBe(400)
  })
})

describe('a session token', () => {
  test('works with a proof of its key, once each', async () => {
    const client = await harness.client()
    const headers = client.headers('GET', '/v1/whoami')
    const whoami = () => fetch(`${harness.url}/v1/whoami`, { headers })
    expect((await whoami()).status).toBe(200)
    expect(await codeOf(await whoami())).toBe('proof_replayed')
  })

  test.each<[string, (client: TestClient) => Record<string, string>, string]>([
    ['no proof', (c) => ({ Authorization: `DPoP ${c.accessToken}` }), 'proof_invalid'],
    [
      'as a bearer token',
      (c) => ({ ...c.headers('GET', '/v1/whoami'), Authorization: `Bearer ${c.accessToken}` }),
      'not_signed_in',
    ],
    [
      'a proof by another key',
      (c) => ({
        Authorization: `DPoP ${c.accessToken}`,
        DPoP: c.proof('GET', '/v1/whoami', { key: newSessionKey() }),
      }),
      'proof_invalid',
    ],
    ['a proof for another path', (c) => c.headers('GET', '/v1/grants'), 'proof_invalid'],
    ['a proof for another method', (c) => c.headers('POST', '/v1/whoami'), 'proof_invalid'],
    [
      'a token that was changed',
      (c) => ({
        ...c.headers('GET', '/v1/whoami'),
        Authorization: `DPoP ${c.accessToken.slice(0, -4)}AAAA`,
      }),
      'token_invalid',
    ],
  ])('with %s it is refused', async (_, headers, code) => {
    const client = await harness.client()
    const answer = await fetch(`${harness.url}/v1/whoami`, { headers: headers(client) })
    expect(answer.status).toBe(401)
    expect(answer.headers.get('WWW-Authenticate')).toMatch(/^DPoP .*resource_metadata=/)
    expect(await codeOf(answer)).toBe(code)
  })

  test('a proof older than 75 seconds is refused; a clock that is a minute off is not', async () => {
    const client = await harness.client()
    const late = client.headers('GET', '/v1/whoami')
    now += 60_000
    expect((await fetch(`${harness.url}/v1/whoami`, { headers: late })).status).toBe(200)
    const later = client.headers('GET', '/v1/whoami')
    now += 76_000
    const answer = await fetch(`${harness.url}/v1/whoami`, { headers: later })
    expect(await codeOf(answer)).toBe('proof_invalid')
  })

  test('a proof opens one lifeline', async () => {
    const client = await harness.client()
    const headers = client.headers('GET', '/v1/lifeline')
    await client.connect(headers)
    await expect(client.connect(headers)).rejects.toThrow('401')
  })

  test('is refused 15 minutes later, though the session goes on', async () => {
    const client = await harness.client()
    now += 15 * 60_000 + 1000
    expect((await client.call('GET', '/v1/whoami')).body.code).toBe('token_invalid')
    const renewed = await client.exchange(await harness.idToken())
    expect(renewed.status).toBe(200)
    client.accessToken = ((await renewed.json()) as { access_token: string }).access_token
    expect((await client.call('GET', '/v1/whoami')).status).toBe(200)
  })
})

describe('a session', () => {
  test('is renewed by the same person alone', async () => {
    const client = await harness.client()
    const answer = await client.exchange(await harness.idToken({ sub: 'another' }))
    expect(await codeOf(answer)).toBe('token_invalid')
  })

  test('moves on with a newer sign-in of the same person, never back to an older one', async () => {
    const client = await harness.client()
    const signedIn = Math.floor(now / 1000)
    const renew = async (claims: Record<string, unknown>) => {
      expect((await client.exchange(await harness.idToken(claims))).status).toBe(200)
    }
    await renew({ auth_time: signedIn, acr: 'urn:mfa' })
    await renew({ auth_time: signedIn - 500 })
    await renew({ auth_time: signedIn })
    const admin = await harness.client({ sub: 'admin', groups: ['admins'] })
    const { entries } = (await admin.call('GET', '/v1/audit')).body
    const renewals = entries.filter(({ event }: { event: string }) => event === 'session.renewed')
    const [first, ...others] = renewals.map(
      ({ authenticated_at, acr }: Record<string, unknown>) => ({
        authenticated_at,
        acr,
      }),
    )
    const at = new Date(signedIn * 1000).toISOString()
    expect(first).toEqual({ authenticated_at: at, acr: 'urn:mfa' })
    expect(others).toEqual([{}, {}])
  })

  test('says whose it is when another account signs in', async () => {
    const client = await harness.client({ preferred_username: 'dev' })
    const answer = await client.exchange(await harness.idToken({ sub: 'another' }))
    expect(await answer.json()).toMatchObject({
      code: 'token_invalid',
      detail: 'another account signed in: the session is that of dev',
      hint: expect.stringContaining('sign in as dev'),
    })
  })

  test('keeps its groups when a renewal says nothing of them, and takes those that one names', async () => {
    const client = await harness.client({ groups: ['admins'] })
    const groups = async (claims: Record<string, unknown>) => {
      const answer = await client.exchange(await harness.idToken(claims))
      const body = (await answer.json()) as { principal: { groups: string[] } }
      return body.principal.groups
    }
    expect(await groups({})).toEqual(['admins'])
    expect(await groups({ groups: [] })).toEqual([])
  })

  test.each([
    ['30 minutes without a renewal', 30 * 60_000],
    ['12 hours, whatever was renewed', 12 * 3_600_000],
  ])('ends after %s, and its grants with it', async (_, milliseconds) => {
    const client = await harness.client()
    const { line } = await client.grant({ ttl: 7200 })
    now += milliseconds + 1000
    expect(await line.next('revoked')).toBeTruthy()
    await expect.poll(() => harness.shop.handles.size).toBe(0)
    const answer = await client.exchange(await harness.idToken())
    expect(await codeOf(answer)).toBe('session_ended')
  })

  test('ends by logout, with its grants; a second logout is no error', async () => {
    const client = await harness.client()
    const { line } = await client.grant()
    expect((await client.logout()).status).toBe(200)
    expect((await line.next('revoked')).ended_by).toBe('session')
    expect((await client.logout()).status).toBe(200)
    expect((await client.call('GET', '/v1/whoami')).body.code).toBe('session_ended')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
  })
})

describe('introspection (RFC 7662)', () => {
  const introspect = (token: string, credentials: string) =>
    fetch(`${harness.url}/grants/introspect`, {
      method: 'POST',
      headers: { Authorization: `Basic ${btoa(credentials)}` },
      body: new URLSearchParams({ token }),
    })

  test('tells the API of a target whether a token of it counts, and nobody else', async () => {
    const client = await harness.client()
    const { line, granted } = await client.grant({ task: 'plan', targets: ['api'] })
    const token = String(granted.credentials[0]?.env.API_TOKEN)
    const answer = await introspect(token, 'api:introspection-secret')
    expect(await answer.json()).toMatchObject({
      active: true,
      aud: 'https://api.test',
      scope: 'read',
      sub: 'kind:human:environment:dev:task:plan',
      grant: granted.grant,
    })
    line.send({ type: 'release', grant: granted.grant, outcome: { code: 0, signal: null } })
    expect((await line.next('released')).receipt.leases[0]?.outcome).toBe('revoked')
    const after = await introspect(token, 'api:introspection-secret')
    expect(await after.json()).toEqual({ active: false })
    for (const credentials of ['api:wrong', 'open:', 'nobody:introspection-secret', '']) {
      const refused = await introspect(token, credentials)
      expect(refused.status).toBe(401)
      expect(refused.headers.get('WWW-Authenticate')).toMatch(/^Basic/)
    }
  })

  test('a session token is no grant token, nor the other way round', async () => {
    const client = await harness.client()
    const answer = await introspect(client.accessToken, 'api:introspection-secret')
    expect(await answer.json()).toEqual({ active: false })
    const { granted } = await client.grant({ task: 'plan', targets: ['api'] })
    client.accessToken = String(granted.credentials[0]?.env.API_TOKEN)
    expect((await client.call('GET', '/v1/whoami')).body.code).toBe('token_invalid')
  })
})

describe('plain HTTP', () => {
  test('metadata names the broker, its providers and their clients (RFC 9728)', async () => {
    const answer = await fetch(`${harness.url}/.well-known/oauth-protected-resource`)
    expect(await answer.json()).toMatchObject({
      resource: harness.url,
      identity_providers: [{ issuer: 'https://idp.test', clients: { human: 'jit-cli' } }],
      bearer_methods_supported: [],
      dpop_bound_access_tokens_required: true,
      dpop_signing_alg_values_supported: expect.arrayContaining(['ES256']),
    })
  })

  test('metadata names the authentication contexts that a step-up may ask for (RFC 9470)', async () => {
    const answer = await fetch(`${harness.url}/.well-known/oauth-authorization-server`)
    expect(await answer.json()).toMatchObject({
      issuer: harness.url,
      acr_values_supported: ['urn:mfa'],
    })
  })

  test('what is not there is a problem with a code (RFC 9457)', async () => {
    const answer = await fetch(`${harness.url}/nothing`)
    expect(answer.status).toBe(404)
    expect(answer.headers.get('Content-Type')).toContain('application/problem+json')
    expect(await codeOf(answer)).toBe('not_found')
  })

  test.each(['/oauth/token', '/oauth/revoke'])(
    '%s refuses a body that is not the form it says it is, and logs nothing',
    async (path) => {
      const answer = await fetch(new URL(path, harness.url), {
        method: 'POST',
        headers: { 'Content-Type': 'multipart/form-data; boundary=x' },
        body: '--x no form',
      })
      expect(answer.status).toBe(400)
      expect(await codeOf(answer)).toBe('request_invalid')
      expect(harness.log.filter((line) => line.includes('failed'))).toEqual([])
    },
  )

  test('a body of more than 64 KiB is refused', async () => {
    const body = new URLSearchParams({ subject_token: 'x'.repeat(70_000) })
    const answer = await fetch(`${harness.url}/oauth/token`, { method: 'POST', body })
    expect(await codeOf(answer)).toBe('request_invalid')
  })

  test('every path of the OpenAPI document answers', async () => {
    await using harness = await Harness.start({ limits: 'metrics: { token: env:SECRET }' })
    const webSockets = ['/v1/lifeline', '/v1/sandbox']
    const document = await (await fetch(`${harness.url}/openapi.json`)).json()
    const { paths } = document as { paths: Record<string, object> }
    const client = await harness.client()
    for (const path of Object.keys(paths)) {
      for (const method of Object.keys(paths[path] ?? {})) {
        const { status } = await client.call(method.toUpperCase(), path.replace('{id}', 'g_1'))
        const missing = status === 404 && !path.includes('{id}') && !webSockets.includes(path)
        expect(missing, `${method} ${path}`).toBe(false)
      }
    }
    expect((await fetch(`${harness.url}/healthz`)).status).toBe(200)
    expect(await (await fetch(`${harness.url}/healthz`)).json()).toEqual({ status: 'ok' })
  })
})
