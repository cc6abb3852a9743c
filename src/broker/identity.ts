import { createHash } from 'node:crypto'
import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import type { ResourceMetadata } from '../protocol/oauth.ts'
import type { IdentityConfig } from './config/config.ts'
import { type IdentityClaims, readClaims } from './identity-claims.ts'
import { createKeyset } from './keyset.ts'

/** Who an identity token says signed in, once everything about it was checked. */
export interface VerifiedIdentity extends IdentityClaims {
  readonly kind: 'human' | 'agent'
  readonly issuer: string
  readonly clientId: string
  /** SHA-256 (hex) of what was signed: each identity token opens one session. */
  readonly tokenHash: string
}

export interface IdentityProviders {
  /**
   * @throws JitError `token_invalid`; `issuer_unreachable` when its provider's keys can't be had
   */
  verifyIdToken(token: string): Promise<VerifiedIdentity>
  /** For RFC 9728 metadata: where to sign in, and as which client. */
  metadata(): ResourceMetadata['identity_providers']
}

interface Provider {
  readonly config: IdentityConfig
  readonly keys: JWTVerifyGetKey
}

// Asymmetric ones only: with HS256 a provider's public key would do as the secret.
const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]
const MAX_LENGTH = 32 * 1024
const MAX_AGE_SECONDS = 300
const LEEWAY_SECONDS = 10

/** The providers of `identity:`. Nothing is fetched until a token needs it. */
export function createIdentityProviders({
  providers,
  clock,
  fetch = globalThis.fetch,
}: {
  readonly providers: readonly IdentityConfig[]
  readonly clock: Clock
  readonly fetch?: typeof globalThis.fetch
}): IdentityProviders {
  const byIssuer = new Map<string, Provider>()
  for (const config of providers) {
    const keys = createKeyset({ issuer: config.issuer, fetch, clock })
    byIssuer.set(config.issuer, { config, keys })
  }
  return {
    verifyIdToken: async (token) => {
      const { config, keys } = chooseProvider(token, byIssuer)
      const payload = await verifySignature({ token, config, keys, now: clock.now() })
      const clientId = authorizedParty(payload, config)
      const kind = config.clients.get(clientId)
      if (!kind) throw invalid('issued to a client that is not listed here')
      const claims = readClaims(payload, config, Math.floor(clock.now() / 1000) + LEEWAY_SECONDS)
      return { ...claims, kind, issuer: config.issuer, clientId, tokenHash: hashOf(token) }
    },
    metadata: () => providers.map(describe),
  }
}

function describe(config: IdentityConfig): ResourceMetadata['identity_providers'][number] {
  const clients: { human?: string; agent?: string } = {}
  for (const [id, kind] of config.clients) clients[kind] ??= id
  const { issuer } = config
  const [scopes, verification_hosts] = [[...config.scopes], [...config.verificationHosts]]
  return { issuer, clients, scopes, verification_hosts }
}

/** By the issuer that the token claims; its signature has to be that issuer's then. */
function chooseProvider(token: string, byIssuer: ReadonlyMap<string, Provider>): Provider {
  if (token.length > MAX_LENGTH) throw invalid('larger than 32 KiB')
  let issuer: unknown
  try {
    issuer = decodeJwt(token).iss
  } catch (cause) {
    throw invalid('not a JWT', cause)
  }
  const provider = typeof issuer === 'string' ? byIssuer.get(issuer) : undefined
  if (!provider) throw invalid('of an issuer that is not configured here')
  return provider
}

async function verifySignature({
  token,
  config,
  keys,
  now,
}: Provider & { readonly token: string; readonly now: number }): Promise<JWTPayload> {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, {
      algorithms: ALGORITHMS,
      issuer: config.issuer,
      audience: [...config.clients.keys()],
      maxTokenAge: MAX_AGE_SECONDS,
      clockTolerance: LEEWAY_SECONDS,
      currentDate: new Date(now),
      requiredClaims: ['sub', 'exp'],
    })
    // Access and logout tokens of the same issuer say what they are (RFC 9068, RFC 8725 section 3.11).
    const typ = protectedHeader.typ?.toLowerCase()
    if (typ !== undefined && typ !== 'jwt') throw invalid('not an identity token by its typ')
    return payload
  } catch (cause) {
    throw cause instanceof JitError ? cause : invalid(explain(cause), cause)
  }
}

/** The client that the token was issued to (OpenID Connect Core 1.0 section 3.1.3.7, 3 to 5). */
function authorizedParty({ aud, azp }: JWTPayload, { clients }: IdentityConfig): string {
  const audience = Array.isArray(aud) ? aud : [aud ?? '']
  if (azp !== undefined && typeof azp !== 'string') throw invalid('azp: expected a client id')
  if (azp === undefined && audience.length > 1) throw invalid('several audiences and no azp')
  const party = azp ?? audience[0] ?? ''
  if (!audience.includes(party) || !clients.has(party)) {
    throw invalid('issued to a client that is not listed here')
  }
  return party
}

/** A few words that tell what was wrong and quote nothing of the token. */
function explain(error: unknown): string {
  if (error instanceof errors.JWTExpired) {
    return error.claim === 'iat' ? 'issued more than 5 minutes ago' : 'expired'
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'aud') return 'issued to a client that is not listed here'
    if (error.claim === 'iat') return 'iat: missing, or in the future'
    return `${error.claim}: missing, or not what was expected`
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return 'signed with an algorithm not accepted'
  if (error instanceof errors.JWKSNoMatchingKey) return 'signed with a key the issuer does not list'
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'the signature does not fit'
  return 'not a signed JWT that can be verified'
}

/** The signature stays out: it can often be rewritten into another valid one (ECDSA, base64url). */
function hashOf(token: string): string {
  return createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('hex')
}

function invalid(problem: string, cause?: unknown): JitError {
  return new JitError('token_invalid', `identity token: ${problem}`, { cause })
}
