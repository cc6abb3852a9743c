import type { Keystore } from '../keystore/keystore.ts'
import type { Clock } from '../lib/clock.ts'
import type { IdentityProvider } from './discovery.ts'
import { exchangeToken } from './exchange.ts'
import { newSessionKey } from './proof.ts'
import type { IdentityTokens } from './provider.ts'
import { fieldsOf, type StoredSession, writeSession } from './session.ts'

/**
 * Opens a session at the broker for someone who has just signed in, under a new key, and keeps it.
 * @throws JitError `sign_in_failed` or the broker's code, `broker_unreachable`, `keystore_failed`
 */
export async function openSession(signIn: {
  broker: string
  /** The copilot that was signed in; absent: the person. */
  agent?: string | undefined
  provider: IdentityProvider
  tokens: IdentityTokens
  flow: NonNullable<StoredSession['flow']>
  keystore: Keystore
  clock: Clock
  signal: AbortSignal
}): Promise<StoredSession> {
  const { broker, agent, provider, tokens, clock } = signIn
  const key = newSessionKey()
  const response = await exchangeToken({
    broker,
    idToken: tokens.idToken,
    agent,
    key,
    now: clock.now(),
    signal: signIn.signal,
  })
  const session: StoredSession = {
    broker,
    ...(agent === undefined ? {} : { agent }),
    issuer: provider.issuer,
    client_id: provider.clientId,
    flow: signIn.flow,
    ...fieldsOf(response, clock.now()),
    ...(tokens.refreshToken ? { refresh_token: tokens.refreshToken } : {}),
    jwk: key,
  }
  await writeSession(signIn.keystore, session)
  return session
}
