import * as client from 'openid-client'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { send } from '../lib/http.ts'
import { createProof } from './proof.ts'
import { connectProvider } from './provider.ts'
import type { StoredSession } from './session.ts'

/**
 * Ends a session at its broker, and with it all its grants (RFC 7009). A token that has expired
 * is no way to say it: the session then ends there by itself.
 * @returns whether the broker confirmed
 */
export async function endAtBroker(session: StoredSession, clock: Clock): Promise<boolean> {
  const url = new URL(`${session.broker}/oauth/revoke`)
  const token = session.access_token
  const proof = createProof(session.jwk, {
    method: 'POST',
    url,
    now: clock.now(),
    accessToken: token,
  })
  try {
    const answer = await send({
      method: 'POST',
      url,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        authorization: `DPoP ${token}`,
        dpop: proof,
      },
      body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
    })
    return answer.status === 200
  } catch (thrown) {
    if (JitError.from(thrown).code === 'broker_unreachable') return false
    throw thrown
  }
}

/** Has the provider forget the refresh token (RFC 7009), where it can. A courtesy: it fails silently. */
export async function endAtProvider(session: StoredSession): Promise<void> {
  if (!session.refresh_token) return
  try {
    const configuration = await connectProvider({
      issuer: session.issuer,
      clientId: session.client_id,
    })
    if (!configuration.serverMetadata().revocation_endpoint) return
    await client.tokenRevocation(configuration, session.refresh_token, {
      token_type_hint: 'refresh_token',
    })
  } catch {
    // The token is gone from this machine either way.
  }
}
