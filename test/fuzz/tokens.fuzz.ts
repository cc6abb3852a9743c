import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { createProof, newSessionKey, thumbprintOf } from '../../src/auth/proof.ts'
import { workloadToken } from '../../src/auth/workload-token.ts'
import { createAccessTokens } from '../../src/broker/access-tokens.ts'
import { verifyProof } from '../../src/broker/dpop.ts'
import { createIdentityProviders } from '../../src/broker/identity.ts'
import { createSecurityEvents } from '../../src/broker/security-events.ts'
import { FakeProvider, identityConfig, NOW, stillClock } from '../broker/provider.ts'
import { mutatedJson, mutatedText } from './mutations.ts'
import { holds, SECRET, unlessRefused } from './property.ts'

const ISSUER = 'https://idp.test'
const provider = new FakeProvider(ISSUER)
const clock = stillClock()

beforeAll(() => provider.rotate('k1'))

const bytesOf = (part: string) => Buffer.from(part, 'base64url').toString()
const encoded = (text: string) => Buffer.from(text).toString('base64url')

/** A real token with its own text changed, or what its parts say, its signature left as it is. */
const mutatedToken = (token: string) => {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const changed = (part: string) => mutatedJson(JSON.parse(bytesOf(part))).map(encoded)
  return mutatedText(token)
    .map((text) => text)
    .chain((text) => changed(header).map((head) => [text, `${head}.${payload}.${signature}`]))
    .chain((texts) => changed(payload).map((body) => [...texts, `${header}.${body}.${signature}`]))
}

test('a proof that was changed is none', async () => {
  const key = newSessionKey()
  const url = new URL('https://jit.test/v1/grants')
  const accessToken = SECRET
  const proof = createProof(key, { method: 'GET', url, now: NOW * 1000, accessToken })
  const verify = (changed: string) =>
    verifyProof({ proof: changed, method: 'GET', url: url.href, accessToken, now: NOW * 1000 })
  expect(await verify(proof)).toMatchObject({ jkt: thumbprintOf(key) })
  await holds(mutatedToken(proof), async (texts) => {
    for (const changed of texts) {
      const verified = await unlessRefused(['proof_invalid'], () => verify(changed))
      if (verified) expect(verified.jkt).toBe(thumbprintOf(key))
    }
  })
})

test("a session's token that was changed is none", async () => {
  const { privateKey } = generateKeyPairSync('ed25519')
  const key = { kid: 'k', algorithm: 'EdDSA', privateKey } as const
  const keys = {
    ...{ algorithm: key.algorithm, signing: () => key },
    find: async (kid: string) => (kid === key.kid ? createPublicKey(privateKey) : undefined),
  }
  const tokens = createAccessTokens({ issuer: 'https://jit.test', keys, clock })
  const claims = {
    ...{ subject: 'idp.test/dana', actor: SECRET, session: 's', clientId: 'jit-cli' },
    ...{ jkt: 'j', id: 't', issuedAt: NOW, expiresAt: NOW + 900 },
  }
  await holds(mutatedToken(await tokens.issue(claims)), async (texts) => {
    for (const changed of texts) {
      const verified = await unlessRefused(['token_invalid'], () => tokens.verify(changed))
      if (verified) expect(verified).toEqual(claims)
    }
  })
})

const CLAIMS = {
  ...{ sub: 'a/b|1', preferred_username: 'dana', email: 'd@acme.dev', groups: ['devs', SECRET] },
  ...{ acr: 'mfa', amr: ['pwd'], auth_time: NOW - 10, nonce: 'n', jti: 'j' },
}

test('an identity token says who it is, in words that can be recorded, or is refused', async () => {
  const identities = createIdentityProviders({
    ...{ providers: [identityConfig(ISSUER)], clock, fetch: provider.fetch },
  })
  const token = await provider.sign(CLAIMS)
  await holds(mutatedToken(token), async (texts) => {
    for (const changed of texts) {
      await unlessRefused(['token_invalid'], () => identities.verifyIdToken(changed))
    }
  })
  // Its issuer may say anything: what it signs is well signed.
  await holds(mutatedJson(CLAIMS), async (text) => {
    const said = claimsOf(text)
    if (!said) return
    const signed = await provider.sign(said).catch(() => undefined)
    if (signed === undefined) return
    const who = await unlessRefused(['token_invalid'], () => identities.verifyIdToken(signed))
    if (who) expect(JSON.stringify(who)).not.toMatch(/(?<!\\)(?:\\\\)*\\ud[89a-f]/)
  })
})

function claimsOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isMap ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

const EVENT = {
  ...{ aud: 'https://jit.test', jti: 'j1', iat: NOW },
  sub_id: { format: 'complex', user: { format: 'iss_sub', iss: ISSUER, sub: SECRET } },
  events: {
    'https://schemas.openid.net/secevent/caep/event-type/session-revoked': {
      event_timestamp: NOW - 5,
    },
  },
}

test('a security event is taken, of no effect, or refused with a reason that names nobody', async () => {
  const events = createSecurityEvents({
    transmitters: [{ issuer: ISSUER, audience: 'https://jit.test', identity: ISSUER }],
    ...{ clock, fetch: provider.fetch },
  })
  const sign = (claims: object) =>
    provider.sign(
      { ...{ sub: undefined, exp: undefined, auth_time: undefined }, ...claims },
      { typ: 'secevent+jwt' },
    )
  const receive = async (token: string) => {
    const received = await events.receive(token)
    if (received.kind === 'refused') expect(received.description).not.toContain(SECRET)
    return received
  }
  const token = await sign(EVENT)
  expect(await receive(token)).toMatchObject({ kind: 'cut-off' })
  await holds(mutatedToken(token), async (texts) => {
    for (const changed of texts) await receive(changed)
  })
  await holds(mutatedJson(EVENT), async (text) => {
    const said = claimsOf(text)
    const signed = said && (await sign(said).catch(() => undefined))
    if (signed === undefined) return
    const received = await receive(signed)
    if (received.kind !== 'cut-off' || received.until === undefined) return
    expect(received.until).toBeLessThanOrEqual(NOW * 1000)
    expect(Number.isSafeInteger(received.until)).toBe(true)
  })
})

test("a job's token is read as far as whom it is for, or refused", async () => {
  const payload = { iss: ISSUER, aud: ['https://jit.test'], sub: SECRET }
  const token = `${encoded('{}')}.${encoded(JSON.stringify(payload))}.x`
  const source = { kind: 'variable', name: 'TOKEN' } as const
  await holds(mutatedToken(token), async (texts) => {
    for (const TOKEN of texts) {
      const asked = { env: { TOKEN }, audience: 'https://jit.test' }
      await unlessRefused(['sign_in_failed', 'not_signed_in'], () => workloadToken(source, asked))
    }
  })
})
