import { JitError } from '../lib/errors.ts'
import { tracing } from '../lib/tracing.ts'
import type { AccessTokens } from './access-tokens.ts'
import type { BrokerConfig } from './config/config.ts'
import { PROOF_WINDOW_SECONDS, type VerifiedProof, verifyProof } from './dpop.ts'
import { takeOnce } from './replay.ts'
import type { Session, Sessions } from './sessions.ts'
import type { Store, Tx } from './store/store.ts'

/** One request, as far as who sent it is concerned. */
export interface Credentials {
  readonly method: string
  /** Path with a leading slash; a query is ignored, as proofs do. */
  readonly path: string
  readonly authorization: string | undefined
  readonly proof: string | undefined
}

export interface AuthenticationParts {
  readonly config: Pick<BrokerConfig, 'url'>
  readonly store: Store
  readonly sessions: Sessions
  readonly accessTokens: AccessTokens
}

/**
 * Checks the proof of a request (RFC 9449 section 4.3); whether it was used before is another matter.
 * @throws JitError `proof_invalid`
 */
export async function verifyRequestProof(
  { method, path, proof }: Omit<Credentials, 'authorization'>,
  {
    config,
    store,
    accessToken,
  }: Pick<AuthenticationParts, 'config' | 'store'> & { accessToken?: string },
): Promise<VerifiedProof> {
  if (proof === undefined) throw new JitError('proof_invalid', 'dpop proof: there is none')
  return verifyProof({
    proof,
    method,
    url: new URL(path, config.url).href,
    now: store.now(),
    ...(accessToken === undefined ? {} : { accessToken }),
  })
}

/**
 * Takes a proof's `jti`, so that it works once (RFC 9449 section 11.1).
 * @throws JitError `proof_replayed`
 */
export async function takeProof(tx: Tx, { jkt, jti }: VerifiedProof, now: number): Promise<void> {
  const expiresAt = now + 2 * PROOF_WINDOW_SECONDS * 1000
  if (await takeOnce(tx, { scope: 'dpop', value: `${jkt}:${jti}`, expiresAt })) return
  throw new JitError('proof_replayed', 'dpop proof: used before')
}

/**
 * Who sends a request: the token, the proof of its key (RFC 9449 section 7), the live session.
 * @throws JitError `not_signed_in`, `token_invalid`, `proof_invalid`, `proof_replayed`, `session_ended`
 */
export function authenticate(request: Credentials, parts: AuthenticationParts): Promise<Session> {
  return tracing.during('authenticate', {}, () => checkSender(request, parts))
}

async function checkSender(request: Credentials, parts: AuthenticationParts): Promise<Session> {
  const [scheme, accessToken, ...rest] = request.authorization?.split(' ') ?? []
  if (scheme?.toLowerCase() !== 'dpop' || !accessToken || rest.length > 0) {
    throw new JitError('not_signed_in', 'expected `Authorization: DPoP` with a session token')
  }
  const proving = verifyRequestProof(request, { ...parts, accessToken })
  // Both are checked at once; what is wrong with the token is said first.
  proving.catch(() => {})
  const claims = await parts.accessTokens.verify(accessToken)
  const proof = await proving
  if (proof.jkt !== claims.jkt) throw new JitError('proof_invalid', 'dpop proof: of another key')
  const { store } = parts
  // Whatever the request changes is durable after this, and this with it.
  await store.transaction((tx) => takeProof(tx, proof, store.now()), { durable: false })
  const session = await parts.sessions.get(claims.session)
  if (session.jkt !== proof.jkt) throw new JitError('token_invalid', 'the token is of another key')
  return session
}
