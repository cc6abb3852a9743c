import { exportSPKI, SignJWT, UnsecuredJWT } from 'jose'
import { beforeEach, describe, expect, test } from 'vitest'
import { createIdentityProviders, type IdentityProviders } from '../../src/broker/identity.ts'
import {
  claimsOf,
  FakeProvider,
  identityConfig,
  NOW,
  type StillClock,
  stillClock,
} from './provider.ts'

const ISSUER = 'https://idp.acme.dev'

let provider: FakeProvider
let clock: StillClock
let identities: IdentityProviders

beforeEach(async () => {
  provider = new FakeProvider(ISSUER)
  await provider.rotate('first')
  clock = stillClock()
  const providers = [identityConfig(ISSUER), identityConfig('https://other.dev/realm')]
  identities = createIdentityProviders({ providers, clock, fetch: provider.fetch })
})

const refused = (token: string, message: string | RegExp, code = 'token_invalid') =>
  expect(identities.verifyIdToken(token)).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  })

describe('a good token', () => {
  test('says who signed in, how, and through which client', async () => {
    const token = await provider.sign({
      aud: 'jit-agent',
      sub: 'a/b|1',
      preferred_username: 'dana',
      email: 'dana@acme.dev',
      groups: ['shop-devs', 'shop-devs'],
      acr: 'mfa',
      amr: ['pwd', 'otp'],
    })
    expect(await identities.verifyIdToken(token)).toEqual({
      kind: 'agent',
      issuer: ISSUER,
      subject: 'a/b|1',
      clientId: 'jit-agent',
      id: 'idp.acme.dev/a%2Fb|1',
      name: 'dana',
      groups: ['shop-devs'],
      authTime: NOW - 10,
      acr: 'mfa',
      amr: ['pwd', 'otp'],
      issuedAt: NOW,
      expiresAt: NOW + 300,
      tokenHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      uses: 'once',
    })
  })

  test('without groups leaves them open, so that a renewal may keep them', async () => {
    const identity = await identities.verifyIdToken(await provider.sign())
    expect(identity).not.toHaveProperty('groups')
    expect(identity.name).toBe('u1')
  })

  test('has a name that a terminal can show', async () => {
    const token = await provider.sign({ name: `\u001b[2J${'x'.repeat(400)}` })
    const { name } = await identities.verifyIdToken(token)
    expect(name).toMatch(/^\\u\{1b\}\[2Jx+$/)
    expect(name.length).toBeLessThanOrEqual(256)
  })

  test('counts once however its signature is rewritten', async () => {
    const token = await provider.sign()
    const [header, payload, signature] = token.split('.')
    const bytes = Buffer.from(signature ?? '', 'base64url')
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const s = order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    const other = Buffer.from(s.toString(16).padStart(64, '0'), 'hex')
    const rewritten = Buffer.concat([bytes.subarray(0, 32), other]).toString('base64url')
    const twin = await identities.verifyIdToken(`${header}.${payload}.${rewritten}`)
    expect(twin.tokenHash).toBe((await identities.verifyIdToken(token)).tokenHash)
  })

  test.each(['RS256', 'PS256', 'ES384', 'EdDSA'])('may be signed with %s', async (alg) => {
    await provider.rotate('k', alg)
    expect((await identities.verifyIdToken(await provider.sign())).subject).toBe('u1')
  })

  test.each(['ID', 'JWT'])('may say that it is one in its claims: %s', async (typ) => {
    const token = await provider.sign({ typ })
    expect((await identities.verifyIdToken(token)).subject).toBe('u1')
  })

  test('may have several audiences when azp says which client it is', async () => {
    const token = await provider.sign({ aud: ['api', 'jit-cli'], azp: 'jit-cli' })
    expect((await identities.verifyIdToken(token)).clientId).toBe('jit-cli')
  })
})

describe('refused', () => {
  test('not signed at all', async () => {
    await refused(new UnsecuredJWT(claimsOf(ISSUER)).encode(), /identity token: /)
  })

  test("HS256 with the provider's public key as the secret", async () => {
    const [key] = provider.keys
    if (!key) throw new Error('no key')
    const secret = new TextEncoder().encode(await exportSPKI(key.pair.publicKey))
    const token = await new SignJWT(claimsOf(ISSUER))
      .setProtectedHeader({ alg: 'HS256', kid: 'first' })
      .sign(secret)
    await refused(token, /an algorithm not accepted/)
  })

  test("another's key under the same kid", async () => {
    const twin = new FakeProvider(ISSUER)
    await twin.rotate('first')
    await refused(await twin.sign(), /signature does not fit/)
  })

  test("one provider's token that names the other", async () => {
    const other = new FakeProvider('https://other.dev/realm')
    provider.documents.forEach((answer, url) => {
      other.documents.set(url, answer)
    })
    await other.rotate('second')
    const token = await other.sign({ iss: ISSUER })
    await refused(token, /a key the issuer does not list/)
  })

  test('an issuer that is not configured, a slash more included; nothing is fetched for it', async () => {
    await refused(await provider.sign({ iss: `${ISSUER}/` }), /not configured/)
    await refused(await provider.sign({ iss: 'https://evil.dev' }), /not configured/)
    expect(provider.requests).toEqual([])
  })

  test.each([
    ['wrong audience', { aud: 'other' }, /a client that is not listed/],
    ['no audience', { aud: undefined }, /a client that is not listed/],
    ['several audiences, no azp', { aud: ['api', 'jit-cli'] }, /several audiences/],
    ['azp of a client not listed', { aud: ['api', 'jit-cli'], azp: 'api' }, /not listed/],
    ['azp outside the audience', { azp: 'jit-agent' }, /not listed/],
    ['expired', { iat: NOW - 200, exp: NOW - 60 }, /expired/],
    ['no expiry', { exp: undefined }, /exp: missing/],
    ['issued long ago', { iat: NOW - 400 }, /more than 5 minutes ago/],
    ['issued in the future', { iat: NOW + 60 }, /iat: .*future/],
    ['no iat', { iat: undefined }, /iat: missing/],
    ['not valid yet', { nbf: NOW + 60 }, /nbf: /],
    ['no sub', { sub: undefined }, /sub: missing/],
    ['a sub that is not ASCII', { sub: 'ü' }, /sub: expected 1 to 255 ASCII/],
    ['groups that are no list', { groups: 'admins' }, /groups: expected a list/],
    ['groups of something else', { groups: [{ a: 1 }] }, /groups.0: expected text/],
    ['too many groups', { groups: Array(1001).fill('g') }, /at most 1000/],
    ['signed in tomorrow', { auth_time: NOW + 86_400 }, /auth_time is in the future/],
    ['an auth_time that is text', { auth_time: 'now' }, /auth_time: expected seconds/],
  ])('%s', async (_, claims, message) => {
    await refused(await provider.sign(claims), message)
  })

  test('an access token of the same issuer', async () => {
    await refused(await provider.sign({}, { typ: 'at+jwt' }), /not an identity token/)
  })

  // A job of GitLab asks for any audience, and its tokens are signed with the keys of people's.
  test.each([
    ['of a GitLab job', { sub: 'project_path:acme/shop:ref', pipeline_id: '1', job_id: '2' }],
    ['of a GitHub job', { sub: 'repo:acme/shop:ref', repository_id: '1' }],
    ['of a service account', { 'kubernetes.io': {} }],
    ['that tells of a logout', { events: { 'http://schemas.openid.net/event/x': {} } }],
    ['that Keycloak calls an access token', { typ: 'Bearer' }],
  ])('one %s, though made for our client by our issuer', async (_, claims) => {
    await refused(await provider.sign({ ...claims, auth_time: undefined }), /not of a person/)
  })

  test.each(['', 'x', 'a.b', 'a.b.c', '..', 'x'.repeat(40_000)])('what is no token: %#', (text) =>
    refused(text, /identity token: /),
  )
})

describe('keys', () => {
  test('are fetched once, and by many at once only once', async () => {
    const token = await provider.sign()
    await Promise.all(Array.from({ length: 10 }, () => identities.verifyIdToken(token)))
    await identities.verifyIdToken(token)
    expect(provider.requests).toHaveLength(2)
  })

  test('that are new are found after a rotation; those taken away stop working', async () => {
    const old = await provider.sign()
    await identities.verifyIdToken(old)
    await provider.rotate('second')
    clock.seconds += 15
    expect((await identities.verifyIdToken(await provider.sign())).subject).toBe('u1')
    await refused(old, /a key the issuer does not list/)
  })

  test('that nobody knows make the broker ask again at most every 10 s', async () => {
    await identities.verifyIdToken(await provider.sign())
    const unknown = await provider.sign({}, { kid: 'nobody' })
    for (let attempt = 0; attempt < 5; attempt++) await refused(unknown, /does not list/)
    expect(provider.requests).toHaveLength(2)
  })

  test('kept past their time are not used when the provider is down', async () => {
    await identities.verifyIdToken(await provider.sign())
    clock.seconds += 3600
    provider.documents.clear()
    const token = await provider.sign({ iat: clock.seconds, exp: clock.seconds + 60 })
    await refused(token, /identity provider https:\/\/idp.acme.dev/, 'issuer_unreachable')
  })
})

describe('a provider that does not answer as it should is out of reach', () => {
  const discovery = `${ISSUER}/.well-known/openid-configuration`
  const jwks_uri = `${ISSUER}/jwks`
  test.each([
    ['names another issuer', () => Response.json({ issuer: 'https://evil.dev', jwks_uri })],
    [
      'has its keys at a plain address',
      () => Response.json({ issuer: ISSUER, jwks_uri: 'http://idp.acme.dev/jwks' }),
    ],
    [
      'has its keys on our loopback',
      () => Response.json({ issuer: ISSUER, jwks_uri: 'http://127.0.0.1/jwks' }),
    ],
    [
      'has its keys in a file',
      () => Response.json({ issuer: ISSUER, jwks_uri: 'file:///etc/passwd' }),
    ],
    ['sends elsewhere', () => new Response('', { status: 302, headers: { location: '/' } })],
    ['fails', () => new Response('', { status: 500 })],
    ['is not JSON', () => new Response('<html>')],
    ['never ends', () => new Response('x'.repeat(600 * 1024))],
  ])('%s', async (_, answer) => {
    provider.documents.set(discovery, answer)
    await refused(await provider.sign(), /identity provider/, 'issuer_unreachable')
  })

  test('and is asked again the next time', async () => {
    const token = await provider.sign()
    const good = provider.documents.get(discovery)
    provider.documents.delete(discovery)
    await refused(token, /no usable answer/, 'issuer_unreachable')
    if (good) provider.documents.set(discovery, good)
    expect((await identities.verifyIdToken(token)).subject).toBe('u1')
  })
})

test('metadata name one client of each kind', () => {
  expect(identities.metadata()[0]).toEqual({
    issuer: ISSUER,
    clients: { human: 'jit-cli', agent: 'jit-agent' },
    scopes: ['openid'],
    verification_hosts: [],
  })
})
