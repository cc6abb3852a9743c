import { decodeJwt, type JWTPayload } from 'jose'
import type { Clock } from '../lib/clock.ts'
import type { ResourceMetadata } from '../protocol/oauth.ts'
import type { IdentityConfig, PipelineConfig } from './config/config.ts'
import { type IdentityClaims, readClaims } from './identity-claims.ts'
import { hashOf, invalid, LEEWAY_SECONDS, verifyToken } from './identity-token.ts'
import { createKeyset } from './keyset.ts'
import { pipelineProvider } from './pipeline-identity.ts'
import type { SignedContext } from './sessions.ts'

/** Who an identity token says signed in, once everything about it was checked. */
export interface VerifiedIdentity extends IdentityClaims {
  readonly kind: 'human' | 'agent' | 'pipeline'
  readonly issuer: string
  /** A pipeline's: what kind of token it is. */
  readonly clientId: string
  /** SHA-256 (hex) of what was signed. */
  readonly tokenHash: string
  /** Whether it opens one session, ever, or one at a time: a token in a file is all that a job has. */
  readonly uses: 'once' | 'one-at-a-time'
  /** What its issuer signed of a pipeline's code. */
  readonly signed?: SignedContext
  /** The account that set a pipeline off. */
  readonly triggeredBy?: string
}

export interface IdentityProviders {
  /**
   * @throws JitError `token_invalid`; `issuer_unreachable` when its provider's keys can't be had
   */
  verifyIdToken(token: string): Promise<VerifiedIdentity>
  /** For RFC 9728 metadata: where to sign in, and as which client. */
  metadata(): ResourceMetadata['identity_providers']
}

/** Those whose tokens one issuer signs. */
export interface Provider {
  readonly issuer: string
  verify(token: string): Promise<VerifiedIdentity>
  describe(): ResourceMetadata['identity_providers'][number]
}

/** How providers are reached, and what time it is. */
export interface ProviderParts {
  readonly clock: Clock
  readonly fetch: typeof fetch
}

const MAX_LENGTH = 32 * 1024
const MAX_AGE_SECONDS = 300
const FOREIGN = 'issued to a client that is not listed here'
/** Claims of jobs' tokens, of security events and of logout tokens (RFC 8417, OpenID Back-Channel Logout 1.0). */
const OF_NO_PERSON = ['job_id', 'pipeline_id', 'repository_id', 'kubernetes.io', 'events']

/** The providers of `identity:`. Nothing is fetched until a token needs it. */
export function createIdentityProviders({
  providers,
  pipelines = [],
  ...rest
}: {
  readonly providers: readonly IdentityConfig[]
  readonly pipelines?: readonly PipelineConfig[]
  readonly clock: Clock
  readonly fetch?: typeof fetch
}): IdentityProviders {
  const parts: ProviderParts = { fetch: globalThis.fetch, ...rest }
  const all = [
    ...providers.map((config) => peopleProvider(config, parts)),
    ...pipelines.map((config) => pipelineProvider(config, parts)),
  ]
  const byIssuer = new Map(all.map((provider) => [provider.issuer, provider]))
  return {
    verifyIdToken: async (token) => chooseProvider(token, byIssuer).verify(token),
    metadata: () => all.map((provider) => provider.describe()),
  }
}

/** A provider that people sign in at, and agents through a client of their own. */
function peopleProvider(config: IdentityConfig, { clock, fetch }: ProviderParts): Provider {
  const { issuer } = config
  const keys = createKeyset({ issuer, fetch, clock })
  return {
    issuer,
    verify: async (token) => {
      const payload = await verifyToken(token, {
        ...{ issuer, keys, now: clock.now(), types: ['jwt'] },
        audience: [...config.clients.keys()],
        foreign: { problem: FOREIGN },
        maxAge: MAX_AGE_SECONDS,
      })
      requirePerson(payload)
      const clientId = authorizedParty(payload, config)
      const kind = config.clients.get(clientId)
      if (!kind) throw invalid(FOREIGN)
      const claims = readClaims(payload, config, Math.floor(clock.now() / 1000) + LEEWAY_SECONDS)
      return { ...claims, kind, issuer, clientId, tokenHash: hashOf(token), uses: 'once' }
    },
    describe: () => {
      const clients: { human?: string; agent?: string } = {}
      for (const [id, kind] of config.clients) clients[kind] ??= id
      const [scopes, verification_hosts] = [[...config.scopes], [...config.verificationHosts]]
      return { issuer, clients, scopes, verification_hosts }
    },
  }
}

/** By the issuer that the token claims; its signature has to be that issuer's then. */
function chooseProvider(token: string, byIssuer: ReadonlyMap<string, Provider>): Provider {
  if (token.length > MAX_LENGTH) throw invalid('larger than 32 KiB')
  let claimed: JWTPayload
  try {
    claimed = decodeJwt(token)
  } catch (cause) {
    throw invalid('not a JWT', { cause })
  }
  const { iss, sub } = claimed
  // A JWT-SVID needs no `iss`: its subject says whose keys it is signed with.
  const domain = typeof sub === 'string' ? /^spiffe:\/\/[^/]+/.exec(sub)?.[0] : undefined
  const provider =
    (typeof iss === 'string' ? byIssuer.get(iss) : undefined) ?? byIssuer.get(domain ?? '')
  if (!provider) throw invalid('of an issuer that is not configured here')
  return provider
}

/**
 * A forge that people sign in at signs its jobs' tokens with the same keys, for any audience that a
 * job asks for: whoever may write a job would get a second person to act as.
 */
function requirePerson(payload: JWTPayload): void {
  const foreign = OF_NO_PERSON.some((claim) => Object.hasOwn(payload, claim))
  // Keycloak says in its claims what others say in the header (RFC 8725 section 3.11).
  const other = /^(?:bearer|dpop|refresh|offline|logout)$/i.test(String(payload.typ))
  if (foreign || other) throw invalid('not of a person who signed in')
}

/** The client that the token was issued to (OpenID Connect Core 1.0 section 3.1.3.7, 3 to 5). */
function authorizedParty({ aud, azp }: JWTPayload, { clients }: IdentityConfig): string {
  const audience = Array.isArray(aud) ? aud : [aud ?? '']
  if (azp !== undefined && typeof azp !== 'string') throw invalid('azp: expected a client id')
  if (azp === undefined && audience.length > 1) throw invalid('several audiences and no azp')
  const party = azp ?? audience[0] ?? ''
  if (!audience.includes(party) || !clients.has(party)) {
    throw invalid(FOREIGN)
  }
  return party
}
