import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Keystore } from '../keystore/keystore.ts'
import type { Clock } from '../lib/clock.ts'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import type { Paths } from '../lib/paths.ts'
import { exchangeToken } from './exchange.ts'
import { tryLock, type Unlock } from './lock.ts'
import {
  fieldsOf,
  readSession,
  removeSession,
  type StoredSession,
  writeSession,
} from './session.ts'

/** A token with less left than this is renewed first. Milliseconds. */
const MARGIN = 60_000
/** How long to wait for another process's renewal. Milliseconds. */
const PATIENCE = 30_000

export interface SessionSource {
  readonly broker: string
  readonly keystore: Keystore
  readonly clock: Clock
  readonly paths: Paths
}

/**
 * The session at a broker with a token that is good for a minute yet, renewed through the
 * provider's refresh token if need be: by one process at a time, because a refresh token that is
 * used twice ends the sign-in (RFC 9700 section 4.14).
 * @throws JitError `not_signed_in`, `session_ended`, `issuer_unreachable`, `broker_unreachable`, `keystore_failed`
 */
export async function currentSession(source: SessionSource): Promise<StoredSession> {
  const deadline = source.clock.monotonic() + PATIENCE
  while (source.clock.monotonic() < deadline) {
    const session = await readSession(source.keystore, source.broker)
    if (!session) throw notSignedIn(source.broker)
    if (isFresh(session, source.clock)) return session
    const unlock = await lockOf(source)
    if (unlock) return await renewLocked(source).finally(unlock)
    await wait(20 + Math.random() * 60)
  }
  throw new JitError('keystore_failed', 'another jit has been renewing the session for too long', {
    hint: 'try again',
  })
}

function notSignedIn(broker: string): JitError {
  return new JitError('not_signed_in', `not signed in at ${broker}`, { hint: 'jit login' })
}

function isFresh(session: StoredSession, clock: Clock): boolean {
  return session.access_token_expires_at - clock.now() > MARGIN
}

async function lockOf({ broker, paths }: SessionSource): Promise<Unlock | undefined> {
  const name = createHash('sha256').update(broker).digest('hex').slice(0, 16)
  const file = join(paths.data, `renewal-${name}.lock`)
  try {
    await mkdir(paths.data, { recursive: true, mode: 0o700 })
    return await tryLock(file)
  } catch (cause) {
    throw new JitError('keystore_failed', `can't lock ${file}`, { cause })
  }
}

async function renewLocked(source: SessionSource): Promise<StoredSession> {
  const { keystore, broker, clock } = source
  const session = await readSession(keystore, broker)
  if (!session) throw notSignedIn(broker)
  // Another process may have renewed it between our look and our lock.
  if (isFresh(session, clock)) return session
  try {
    return await renew(session, source)
  } catch (thrown) {
    const error = JitError.from(thrown)
    if (ENDS.includes(error.code)) await removeSession(keystore, broker)
    const usable = session.access_token_expires_at > clock.now()
    if (usable && OUT_OF_REACH.includes(error.code)) return session
    throw error
  }
}

/** After these nothing but a new sign-in helps. */
const ENDS: readonly ErrorCode[] = ['not_signed_in', 'session_ended']
/** With these the rest of the token's time is used up first. */
const OUT_OF_REACH: readonly ErrorCode[] = [
  'issuer_unreachable',
  'broker_unreachable',
  'broker_failed',
]

async function renew(session: StoredSession, source: SessionSource): Promise<StoredSession> {
  const tokens = await refresh(session)
  const kept = { ...session, refresh_token: tokens.refreshToken ?? session.refresh_token ?? '' }
  // Before anything else can fail: the old refresh token is spent.
  await writeSession(source.keystore, kept)
  const response = await exchangeToken({
    broker: session.broker,
    idToken: tokens.idToken,
    key: session.jwk,
    now: source.clock.now(),
  }).catch(asEndOfSession)
  const renewed = { ...kept, ...fieldsOf(response, source.clock.now()) }
  await writeSession(source.keystore, renewed)
  return renewed
}

async function refresh(session: StoredSession) {
  if (!session.refresh_token) {
    throw new JitError(
      'not_signed_in',
      'the session can not be renewed: its provider gave no refresh token',
      {
        hint: 'jit login',
      },
    )
  }
  const { refreshIdentity } = await import('./refresh.ts')
  return refreshIdentity({
    issuer: session.issuer,
    clientId: session.client_id,
    refreshToken: session.refresh_token,
  })
}

/** A broker that refuses to renew has ended the session. */
function asEndOfSession(thrown: unknown): never {
  const error = JitError.from(thrown)
  if (error.code !== 'sign_in_failed' && error.code !== 'token_invalid') throw error
  throw new JitError('session_ended', `the session has ended: ${error.message}`, {
    hint: 'jit login',
    cause: error,
  })
}
