import { JitError } from '../lib/errors.ts'
import type { AccessTokens } from './access-tokens.ts'
import { PROOF_WINDOW_SECONDS, verifyProof } from './dpop.ts'
import { takeOnce } from './replay.ts'
import type { Session, Sessions } from './sessions.ts'
import type { Store } from './store/store.ts'

/** One request, as far as who sent it is concerned. */
export interface Credentials {
  readonly method: string
  /** Path with a leading slash; a query is ignored, as proofs do. */
  readonly path: string
  readonly authorization: string | undefined
  readonly proof: string | undefined
}

interface Parts {
  readonly url: string
  readonly store: Store
  readonly sessions: Sessions
  readonly accessTokens: AccessTokens
}

/**
 * Checks a proof and takes its `jti`, so that it works once (RFC 9449 section 11.1).
 * @returns the thumbprint of its key
 * @throws JitError `proof_invalid`, `proof_replayed`
 */
export async function checkProof(
  { method, path, proof }: Omit<Credentials, 'authorization'>,
  { url, store, accessToken }: Pick<Parts, 'url' | 'store'> & { accessToken?: string },
): Promise<string> {
  if (proof === undefined) throw new JitError('proof_invalid', 'dpop proof: there is none')
  const { jkt, jti } = await verifyProof({
    proof,
    method,
    url: new URL(path, url).href,
    now: store.now(),
    ...(accessToken === undefined ? {} : { accessToken }),
  })
  const expiresAt = store.now() + 2 * PROOF_WINDOW_SECONDS * 1000
  const once = { scope: 'dpop', value: `${jkt}:${jti}`, expiresAt } as const
  if (!(await store.transaction((tx) => takeOnce(tx, once)))) {
    throw new JitError('proof_replayed', 'dpop proof: used before')
  }
  return jkt
}

/**
 * Who sends a request: the token, the proof of its key (RFC 9449 section 7), the live session.
 * @throws JitError `not_signed_in`, `token_invalid`, `proof_invalid`, `proof_replayed`, `session_ended`
 */
export async function authenticate(request: Credentials, parts: Parts): Promise<Session> {
  const [scheme, accessToken, ...rest] = request.authorization?.split(' ') ?? []
  if (scheme?.toLowerCase() !== 'dpop' || !accessToken || rest.length > 0) {
    throw new JitError('not_signed_in', 'expected `Authorization: DPoP` with a session token')
  }
  const claims = await parts.accessTokens.verify(accessToken)
  const jkt = await checkProof(request, { ...parts, accessToken })
  if (jkt !== claims.jkt) throw new JitError('proof_invalid', 'dpop proof: of another key')
  const session = await parts.sessions.get(claims.session)
  if (session.jkt !== jkt) throw new JitError('token_invalid', 'the token is of another key')
  return session
}
