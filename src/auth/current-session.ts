import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Keystore } from '../keystore/keystore.ts'
import type { Clock } from '../lib/clock.ts'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import type { Paths } from '../lib/paths.ts'
import { tryLock, type Unlock } from './lock.ts'
import type { IdentityTokens } from './provider.ts'
import { exchangeByKey, renewed } from './renewal.ts'
import {
  entryName,
  readSession,
  removeSession,
  type SessionName,
  type StoredSession,
  writeSession,
} from './session.ts'

/** A token with less left than this is renewed first. Milliseconds. */
const MARGIN = 60_000
/** How long to wait for another process's renewal. Milliseconds. */
const PATIENCE = 30_000
/** After these nothing but a new sign-in helps. */
const ENDS: readonly ErrorCode[] = ['not_signed_in', 'session_ended']
/** With these the rest of the token's time is used up first. */
const OUT_OF_REACH: readonly ErrorCode[] = [
  'issuer_unreachable',
  'broker_unreachable',
  'broker_failed',
]

export interface SessionSource extends SessionName {
  readonly keystore: Keystore
  readonly clock: Clock
  readonly paths: Paths
  /** Where a job's identity token is found. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/**
 * The session with a token that is good for `margin` yet (a minute, in milliseconds), renewed through
 * the provider's refresh token if need be: by one process at a time, because a refresh token that is
 * used twice ends the sign-in (RFC 9700 section 4.14).
 * @throws JitError `not_signed_in`, `session_ended`, `issuer_unreachable`, `broker_unreachable`, `keystore_failed`
 */
export async function currentSession(
  source: SessionSource,
  margin = MARGIN,
): Promise<StoredSession> {
  return patiently(source.clock, async () => {
    const session = await requireSession(source)
    if (left(session, source.clock) > margin) return session
    // A job has nothing that two must not use at once, and maybe no disk.
    if (session.workload) return renewOrKeep(session, source)
    const unlock = await lockOf(source)
    return unlock && (await renewLocked(source, session.access_token).finally(unlock))
  })
}

/**
 * Puts another sign-in of the same person in place of the one that the session rests on: same key,
 * same session at the broker, its tokens exchanged while no other process renews them.
 * @throws JitError the broker's code when it refuses: then nothing has changed; `not_signed_in`,
 *   `broker_unreachable`, `keystore_failed`
 */
export async function replaceSignIn(
  source: SessionSource,
  signIn: { tokens: IdentityTokens; flow: NonNullable<StoredSession['flow']> },
): Promise<StoredSession> {
  const unlock = await patiently(source.clock, () => lockOf(source))
  try {
    const session = await requireSession(source)
    const { idToken, refreshToken = session.refresh_token } = signIn.tokens
    const fields = await exchangeByKey(session, { idToken, clock: source.clock })
    const replaced: StoredSession = {
      ...session,
      ...fields,
      flow: signIn.flow,
      ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
    }
    await writeSession(source.keystore, replaced)
    return replaced
  } finally {
    await unlock()
  }
}

/** Tries until there is an answer, for as long as another process may take. */
async function patiently<T>(clock: Clock, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = clock.monotonic() + PATIENCE
  while (clock.monotonic() < deadline) {
    const answer = await attempt()
    if (answer !== undefined) return answer
    await wait(20 + Math.random() * 60)
  }
  throw new JitError('keystore_failed', 'another jit has been renewing the session for too long', {
    hint: 'try again',
  })
}

async function requireSession(source: SessionSource): Promise<StoredSession> {
  const session = await readSession(source.keystore, source)
  if (session) return session
  const { broker, agent } = source
  const who = agent === undefined ? '' : `${agent}: `
  throw new JitError('not_signed_in', `${who}not signed in at ${broker}`, { hint: wayBack(source) })
}

/** How the session can be had again. */
function wayBack({ agent }: SessionName): string {
  return agent === undefined ? 'jit login' : `jit login --agent ${agent}`
}

/** Milliseconds that its token is good for yet. */
function left(session: StoredSession, clock: Clock): number {
  return session.access_token_expires_at - clock.now()
}

async function lockOf(source: SessionSource): Promise<Unlock | undefined> {
  const { paths } = source
  const name = createHash('sha256').update(entryName(source)).digest('hex').slice(0, 16)
  const file = join(paths.data, `renewal-${name}.lock`)
  try {
    await mkdir(paths.data, { recursive: true, mode: 0o700 })
    return await tryLock(file)
  } catch (cause) {
    throw new JitError('keystore_failed', `can't lock ${file}`, { cause })
  }
}

/** @param seen the token that is to be replaced */
async function renewLocked(source: SessionSource, seen: string): Promise<StoredSession> {
  const session = await requireSession(source)
  // Another process may have renewed it between our look and our lock.
  if (session.access_token !== seen && left(session, source.clock) > MARGIN) return session
  return renewOrKeep(session, source)
}

async function renewOrKeep(session: StoredSession, source: SessionSource): Promise<StoredSession> {
  const { keystore, clock } = source
  try {
    const next = await renewed(session, source)
    if (session.delegated) await renewOwners(next, source)
    return next
  } catch (thrown) {
    const error = JitError.from(thrown)
    const usable = session.access_token_expires_at > clock.now()
    if (usable && OUT_OF_REACH.includes(error.code)) return session
    if (!ENDS.includes(error.code)) throw error
    await removeSession(keystore, source)
    const { code, message, hint = wayBack(source) } = error
    throw new JitError(code, message, { hint, cause: error })
  }
}

/**
 * A delegated session goes on as long as the person's: where that one rests here too, it is renewed
 * as well, so that it doesn't end because only its copilot was at work. Once a minute does for all
 * copilots.
 */
async function renewOwners(delegated: StoredSession, source: SessionSource): Promise<void> {
  const { agent: _, ...owner } = source
  const margin = Math.max(MARGIN, left(delegated, source.clock) - MARGIN)
  await currentSession(owner, margin).catch(() => {})
}
