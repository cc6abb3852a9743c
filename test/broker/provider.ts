import { exportJWK, type GenerateKeyPairResult, generateKeyPair, type JWK, SignJWT } from 'jose'
import type { IdentityConfig } from '../../src/broker/config/config.ts'

/** 2026-11-22T12:00:00Z, held still. */
export const NOW = 1_795_348_800

export interface StillClock {
  seconds: number
  now(): number
  monotonic(): number
}

export function stillClock(): StillClock {
  const clock = {
    seconds: NOW,
    now: () => clock.seconds * 1000,
    monotonic: () => clock.seconds * 1000,
  }
  return clock
}

/** An OpenID provider on the other side of `fetch`: its documents, its keys, and what was asked of it. */
export class FakeProvider {
  readonly issuer: string
  readonly requests: string[] = []
  readonly documents = new Map<string, () => Response>()
  keys: { kid: string; pair: GenerateKeyPairResult; alg: string }[] = []

  constructor(issuer: string) {
    this.issuer = issuer
    const jwks_uri = `${issuer}/jwks`
    this.documents.set(`${issuer}/.well-known/openid-configuration`, () =>
      Response.json({ issuer, jwks_uri }),
    )
    this.documents.set(jwks_uri, () => Response.json({ keys: this.published }))
  }

  published: JWK[] = []

  /** A new key, from now on the only one. */
  async rotate(kid: string, alg = 'ES256'): Promise<void> {
    const pair = await generateKeyPair(alg, { extractable: true })
    this.keys = [{ kid, pair, alg }]
    this.published = [{ ...(await exportJWK(pair.publicKey)), kid, alg, use: 'sig' }]
  }

  readonly fetch: typeof fetch = async (input) => {
    const url = String(input)
    this.requests.push(url)
    const answer = this.documents.get(url)
    if (!answer) throw new TypeError('fetch failed')
    return answer()
  }

  async sign(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) {
    const [key] = this.keys
    if (!key) throw new Error('no key yet')
    const all = { ...claimsOf(this.issuer), ...claims }
    return new SignJWT(all)
      .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
      .sign(key.pair.privateKey)
  }
}

export function claimsOf(iss: string): Record<string, unknown> {
  return { iss, aud: 'jit-cli', sub: 'u1', iat: NOW, exp: NOW + 300, auth_time: NOW - 10 }
}

export function identityConfig(issuer: string): IdentityConfig {
  return {
    issuer,
    clients: new Map([
      ['jit-cli', 'human'],
      ['jit-agent', 'agent'],
    ]),
    groupsClaim: 'groups',
    scopes: ['openid'],
    verificationHosts: [],
  }
}
