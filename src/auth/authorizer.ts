import type { Keystore } from '../keystore/keystore.ts'
import type { Clock } from '../lib/clock.ts'
import type { Paths } from '../lib/paths.ts'
import { currentSession } from './current-session.ts'
import { createProof } from './proof.ts'
import type { StoredSession } from './session.ts'

/** Milliseconds before its end that a token is asked for anew: what the renewal's own margin leaves. */
const MARGIN = 60_000

/**
 * Signs requests with the session at `broker`, renewing it when it must (`client` calls this an
 * `Authorizer`).
 */
export function createAuthorizer(options: {
  broker: string
  /** The copilot that requests are signed for; absent: the person. */
  agent?: string | undefined
  keystore: () => Promise<Keystore>
  clock: Clock
  paths: Paths
  /** Where a job's identity token is found. */
  env?: Readonly<Record<string, string | undefined>>
}) {
  const { clock } = options
  let held: StoredSession | undefined
  let asking: Promise<StoredSession> | undefined

  const session = async (): Promise<StoredSession> => {
    if (held && held.access_token_expires_at - clock.now() > MARGIN) return held
    // Requests of one process at the same time share one look.
    asking ??= options
      .keystore()
      .then((keystore) => currentSession({ ...options, keystore }))
      .finally(() => {
        asking = undefined
      })
    held = await asking
    return held
  }

  return {
    /**
     * Headers for one request (RFC 9449 section 7.1).
     * @throws JitError `not_signed_in`, `session_ended`, `issuer_unreachable`, `broker_unreachable`
     */
    async headers(request: { method: string; url: URL }): Promise<Record<string, string>> {
      const { access_token: accessToken, jwk } = await session()
      const proof = createProof(jwk, { ...request, accessToken, now: clock.now() })
      return { authorization: `DPoP ${accessToken}`, dpop: proof }
    },
  }
}
