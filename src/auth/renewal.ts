import { setTimeout as wait } from 'node:timers/promises'
import type { Keystore } from '../keystore/keystore.ts'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { exchangeToken } from './exchange.ts'
import { fieldsOf, type StoredSession, writeSession } from './session.ts'

/** What a renewal needs. */
interface Means {
  readonly keystore: Keystore
  readonly clock: Clock
  /** Where a job's identity token is found. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Milliseconds after which a provider issues another identity token: its `iat` is in whole seconds. */
const NEXT_TOKEN = 1000

/**
 * A session with its next token, kept: by its own last token where it was handed on, by a job's
 * identity token, else by the provider's refresh token. No other process may be at it meanwhile.
 * @throws JitError `not_signed_in`, `session_ended`, `issuer_unreachable`, `broker_unreachable`, `keystore_failed`
 */
export async function renewed(session: StoredSession, means: Means): Promise<StoredSession> {
  const { workload } = session
  if (session.delegated) return byItself(session, means)
  if (!workload) return throughProvider(session, { ...means, again: true })
  const { renewWorkloadSession } = await import('./workload.ts')
  return renewWorkloadSession({ ...session, workload }, { env: {}, ...means })
}

/**
 * What the broker gives for an identity token by the key of a session.
 * @throws JitError the broker's code
 */
export async function exchangeByKey(
  { broker, agent, jwk }: StoredSession,
  { idToken, clock }: { idToken: string; clock: Clock },
) {
  const now = clock.now()
  return fieldsOf(await exchangeToken({ broker, idToken, agent, key: jwk, now }), clock.now())
}

/**
 * @param means.again whether a refusal may be because the provider has issued the very identity token
 *   that was used last: another one settles it
 */
async function throughProvider(
  session: StoredSession,
  means: Means & { again: boolean },
): Promise<StoredSession> {
  const { keystore, clock, again } = means
  const { idToken, refreshToken } = await refresh(session)
  const kept = { ...session, refresh_token: refreshToken }
  // Before anything else can fail: the old refresh token is spent.
  await writeSession(keystore, kept)
  try {
    const next = { ...kept, ...(await exchangeByKey(session, { idToken, clock })) }
    await writeSession(keystore, next)
    return next
  } catch (thrown) {
    if (!again || JitError.from(thrown).code !== 'token_invalid') throw asEndOfSession(thrown)
    await wait(NEXT_TOKEN)
    return throughProvider(kept, { ...means, again: false })
  }
}

async function refresh({ issuer, client_id: clientId, refresh_token }: StoredSession) {
  if (!refresh_token) {
    const message = 'the session can not be renewed: its provider gave no refresh token'
    throw new JitError('not_signed_in', message)
  }
  const { refreshIdentity } = await import('./refresh.ts')
  const tokens = await refreshIdentity({ issuer, clientId, refreshToken: refresh_token })
  return { refreshToken: refresh_token, ...tokens }
}

async function byItself(
  session: StoredSession,
  { keystore, clock }: Means,
): Promise<StoredSession> {
  const { exchangeOwnToken } = await import('./delegate.ts')
  const response = await exchangeOwnToken(session, clock.now()).catch((thrown) => {
    throw asEndOfSession(thrown)
  })
  const next = { ...session, ...fieldsOf(response, clock.now()) }
  await writeSession(keystore, next)
  return next
}

/** A broker that refuses to renew has ended the session. */
function asEndOfSession(thrown: unknown): JitError {
  const error = JitError.from(thrown)
  const { code, message, hint } = error
  if (code !== 'sign_in_failed' && code !== 'token_invalid') return error
  return new JitError('session_ended', `the session has ended: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  })
}
