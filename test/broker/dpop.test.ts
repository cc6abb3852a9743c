import { createHash } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { type ProofToVerify, verifyProof } from '../../src/broker/dpop.ts'
import { NOW } from './provider.ts'

type Pair = Awaited<ReturnType<typeof generateKeyPair>>
const URL_ASKED = 'https://jit.acme.dev/v1/grants'
let pair: Pair
let other: Pair

beforeAll(async () => {
  pair = await generateKeyPair('ES256', { extractable: true })
  other = await generateKeyPair('ES256', { extractable: true })
})

interface Parts {
  readonly claims?: Record<string, unknown>
  readonly header?: Record<string, unknown>
  readonly signer?: Pair['privateKey']
  readonly alg?: string
}

async function prove({ claims, header, signer = pair.privateKey, alg = 'ES256' }: Parts = {}) {
  const jwk = await exportJWK(pair.publicKey)
  return new SignJWT({ jti: 'j-12345678', htm: 'GET', htu: URL_ASKED, iat: NOW, ...claims })
    .setProtectedHeader({ typ: 'dpop+jwt', alg, jwk, ...header })
    .sign(signer)
}

const verify = (proof: string, more: Partial<ProofToVerify> = {}) =>
  verifyProof({ proof, method: 'GET', url: URL_ASKED, now: NOW * 1000, ...more })

const refused = (attempt: Promise<unknown>, message: RegExp) =>
  expect(attempt).rejects.toMatchObject({
    code: 'proof_invalid',
    message: expect.stringMatching(message),
  })

describe('a proof that holds', () => {
  test('gives the thumbprint of its key', async () => {
    const jkt = await calculateJwkThumbprint(await exportJWK(pair.publicKey))
    expect(await verify(await prove())).toEqual({ jkt, jti: 'j-12345678', iat: NOW })
  })

  test('may be made with Ed25519', async () => {
    const edwards = await generateKeyPair('Ed25519', { extractable: true })
    const jwk = await exportJWK(edwards.publicKey)
    for (const alg of ['Ed25519', 'EdDSA']) {
      const proof = await prove({ alg, header: { jwk }, signer: edwards.privateKey })
      expect((await verify(proof)).jkt).toBe(await calculateJwkThumbprint(jwk))
    }
  })

  test.each([
    'HTTPS://JIT.acme.dev:443/v1/grants',
    'https://jit.acme.dev/v1/./grants',
    'https://jit.acme.dev/v1/grants?all=1#x',
  ])('is for the same URL written differently: %s', async (htu) => {
    await verify(await prove({ claims: { htu } }), { url: `${URL_ASKED}?mine=1` })
  })

  test('is bound to the access token it came with', async () => {
    const ath = createHash('sha256').update('token').digest('base64url')
    const proof = await prove({ claims: { ath } })
    await verify(proof, { accessToken: 'token' })
    await refused(verify(proof, { accessToken: 'another' }), /ath: /)
    await refused(verify(await prove(), { accessToken: 'token' }), /ath: /)
  })

  test('may be off by a minute and a bit either way, no more', async () => {
    await verify(await prove({ claims: { iat: NOW - 75 } }))
    await verify(await prove({ claims: { iat: NOW + 75 } }))
    await refused(verify(await prove({ claims: { iat: NOW - 76 } })), /iat: /)
    await refused(verify(await prove({ claims: { iat: NOW + 76 } })), /iat: /)
  })
})

describe('refused', () => {
  test.each([
    ['another method', { htm: 'POST' }, /htm: /],
    ['a method in lower case', { htm: 'get' }, /htm: /],
    ['another path', { htu: 'https://jit.acme.dev/v1/audit' }, /htu: /],
    ['another host', { htu: 'https://evil.dev/v1/grants' }, /htu: /],
    ['another scheme', { htu: 'http://jit.acme.dev/v1/grants' }, /htu: /],
    ['no URL', { htu: 'v1/grants' }, /htu: /],
    ['no jti', { jti: undefined }, /jti/],
    ['an empty jti', { jti: '' }, /jti: too short/],
    ['a long jti', { jti: 'j'.repeat(129) }, /jti: too long/],
    ['no iat', { iat: undefined }, /iat/],
    ['an iat that is text', { iat: 'now' }, /dpop proof: /],
  ])('%s', async (_, claims, message) => {
    await refused(verify(await prove({ claims })), message)
  })

  test("a key that is not the signer's", async () => {
    await refused(verify(await prove({ signer: other.privateKey })), /signature/)
  })

  test('another typ', async () => {
    await refused(verify(await prove({ header: { typ: 'JWT' } })), /typ: expected 'dpop\+jwt'/)
    await refused(verify(await prove({ header: { typ: undefined } })), /typ/)
  })

  test('a key with its private part', async () => {
    const jwk = await exportJWK(pair.privateKey)
    await refused(verify(await prove({ header: { jwk } })), /jwk: .*private/)
  })

  test('no key, or one of another kind', async () => {
    await refused(verify(await prove({ header: { jwk: undefined } })), /jwk/)
    const rsa = await generateKeyPair('RS256', { extractable: true })
    const jwk = await exportJWK(rsa.publicKey)
    await refused(verify(await prove({ header: { jwk } })), /jwk: expected a public key of/)
    const proof = await prove({ alg: 'RS256', header: { jwk }, signer: rsa.privateKey })
    await refused(verify(proof), /alg: expected ES256/)
  })

  test('an algorithm that does not fit the key', async () => {
    const proof = await prove()
    const [, payload, signature] = proof.split('.')
    const jwk = await exportJWK(pair.publicKey)
    const header = Buffer.from(JSON.stringify({ typ: 'dpop+jwt', alg: 'Ed25519', jwk }))
    await refused(verify(`${header.toString('base64url')}.${payload}.${signature}`), /signature/)
  })

  test('a symmetric key, or none', async () => {
    const secret = new TextEncoder().encode('s'.repeat(32))
    const jwk = { kty: 'oct', k: Buffer.from(secret).toString('base64url') }
    const hmac = await new SignJWT({ jti: 'j', htm: 'GET', htu: URL_ASKED, iat: NOW })
      .setProtectedHeader({ typ: 'dpop+jwt', alg: 'HS256', jwk })
      .sign(secret)
    await refused(verify(hmac), /alg: |jwk: /)
    await refused(verify(new UnsecuredJWT({ htm: 'GET' }).encode()), /dpop proof: /)
  })

  test.each(['', '.', 'a.b.c', 'x'.repeat(5000)])('what is no proof: %#', (text) =>
    refused(verify(text), /dpop proof: /),
  )
})
