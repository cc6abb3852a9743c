import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { SignJWT, UnsecuredJWT } from 'jose'
import { expect, test } from 'vitest'
import { createAccessTokens } from '../../src/broker/access-tokens.ts'
import type { KeySource } from '../../src/broker/key-ring.ts'
import type { SigningKey } from '../../src/broker/keys.ts'
import { NOW, stillClock } from './provider.ts'

const ISSUER = 'https://jit.acme.dev'
const CLAIMS = {
  subject: 'idp.acme.dev/u1',
  session: 's1',
  clientId: 'jit-cli',
  jkt: 'thumbprint',
  id: 't1',
  issuedAt: NOW,
  expiresAt: NOW + 900,
}

const keyOf = (kid: string): SigningKey => ({
  ...{ kid, algorithm: 'EdDSA' },
  privateKey: generateKeyPairSync('ed25519').privateKey,
})
const first = keyOf('one')
const second = keyOf('two')

/** The first one signs, all verify. */
const sourceOf = (...keys: [SigningKey, ...SigningKey[]]): KeySource => ({
  algorithm: 'EdDSA',
  signing: () => keys[0],
  find: async (kid) => {
    const key = keys.find((one) => one.kid === kid)
    return key && createPublicKey(key.privateKey)
  },
})

const tokensOf = (keys: [SigningKey, ...SigningKey[]], clock = stillClock()) =>
  createAccessTokens({ issuer: ISSUER, keys: sourceOf(...keys), clock })

test('what was issued is read back, also after the keys were rotated', async () => {
  const token = await tokensOf([first]).issue(CLAIMS)
  expect(await tokensOf([second, first]).verify(token)).toEqual(CLAIMS)
})

test('a token ends when it says', async () => {
  const clock = stillClock()
  const tokens = tokensOf([first], clock)
  const token = await tokens.issue(CLAIMS)
  clock.seconds += 900
  await expect(tokens.verify(token)).rejects.toMatchObject({
    code: 'token_invalid',
    message: 'access token: expired',
  })
})

test('a grant token, another audience or issuer, an unknown or missing kid: none passes', async () => {
  const tokens = tokensOf([first])
  const good = { typ: 'at+jwt', alg: 'EdDSA', kid: 'one' }
  const sign = (header: typeof good, aud = ISSUER, iss = ISSUER) =>
    new SignJWT({
      sid: 's',
      client_id: 'c',
      jti: 't',
      cnf: { jkt: 'k' },
      sub: 'u',
      iat: NOW,
      aud,
      iss,
    })
      .setExpirationTime(NOW + 60)
      .setProtectedHeader(header)
      .sign(first.privateKey)
  await tokens.verify(await sign(good))
  const bad = [
    await sign({ ...good, typ: 'JWT' }),
    await sign({ ...good, kid: 'three' }),
    await sign({ ...good, kid: undefined as unknown as string }),
    await sign(good, 'https://aws'),
    await sign(good, ISSUER, `${ISSUER}/grants`),
    await tokensOf([second]).issue(CLAIMS),
    new UnsecuredJWT({ iss: ISSUER, aud: ISSUER }).encode(),
    '',
    'x'.repeat(9000),
  ]
  for (const token of bad) {
    await expect(tokens.verify(token)).rejects.toMatchObject({ code: 'token_invalid' })
  }
})
