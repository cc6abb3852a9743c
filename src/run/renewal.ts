import { setTimeout as delay } from 'node:timers/promises'
import type { Held } from '../client/held.ts'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import type { DeliveredCredential } from '../protocol/lifeline.ts'
import type { Deadline } from './deadline.ts'

/** More time is asked for when this part of the time is left. */
const RENEW_AT = 1 / 3
/** Milliseconds between two attempts: a fifth of what is left, within these. */
const PAUSE = { least: 1000, most: 30_000 }
/** Before the end it is warned when a tenth of the time is left, in milliseconds at most. */
const WARNING = 120_000

/** Another attempt may succeed. */
const TRANSIENT: readonly ErrorCode[] = [
  'broker_unreachable',
  'broker_failed',
  'target_unreachable',
  'store_failed',
  'internal',
]

/** What is told of a grant's time. */
export interface RenewalProgress {
  /** Before the command starts. @param targets those whose credentials no renewal can reach */
  unrenewable(targets: readonly string[], expiresAt: string): void
  renewalRefused(error: JitError, expiresAt: string): void
  endsSoon(expiresAt: string): void
}

export interface Renewing {
  readonly held: Held
  readonly deadline: Deadline
  readonly credentials: readonly DeliveredCredential[]
  readonly progress: RenewalProgress
}

/** Says before the command starts that it can't outlast the grant, where that is so. */
export function announceEnd({ credentials, deadline, progress }: Omit<Renewing, 'held'>): void {
  const fixed = credentials.filter(({ renewable }) => !renewable).map(({ target }) => target)
  if (fixed.length > 0) progress.unrenewable(fixed, deadline.expiresAt)
}

/**
 * Asks for more time from two thirds of it on, as long as the broker gives some, and warns before the
 * end. Never throws: a grant that isn't renewed ends at its deadline.
 */
export async function keepRenewed(renewing: Renewing, signal: AbortSignal): Promise<void> {
  const { credentials } = renewing
  const renewable = credentials.length > 0 && credentials.every((one) => one.renewable)
  await Promise.all([
    renewable ? renewUntilRefused(renewing, signal) : undefined,
    warnBeforeEnd(renewing, signal),
  ])
}

async function warnBeforeEnd({ deadline, progress }: Renewing, signal: AbortSignal): Promise<void> {
  await deadline.near(() => Math.min(WARNING, deadline.span / 10), signal)
  if (!signal.aborted && deadline.left() > 0) progress.endsSoon(deadline.expiresAt)
}

async function renewUntilRefused(
  { held, deadline, progress }: Renewing,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await deadline.near(() => deadline.span * RENEW_AT, signal)
    if (signal.aborted || deadline.left() <= 0) return
    try {
      await held.renew()
    } catch (thrown) {
      const error = JitError.from(thrown)
      if (signal.aborted) return
      if (!TRANSIENT.includes(error.code)) {
        return progress.renewalRefused(error, deadline.expiresAt)
      }
    }
    const pause = Math.min(Math.max(deadline.left() / 5, PAUSE.least), PAUSE.most)
    await delay(pause, undefined, { signal }).catch(() => {})
  }
}
