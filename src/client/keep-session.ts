import { setTimeout as delay } from 'node:timers/promises'
import type { Authorizer } from './authorizer.ts'

/**
 * Keeps the session alive while a long command runs: a session that nobody renews ends, and its
 * grants with it. The authorizer renews it when its token is about to expire; a renewal that fails
 * is tried again, and a session that is over is the broker's to act upon.
 * @param every milliseconds: less than the authorizer's margin before a token expires
 */
export async function keepSession({
  authorizer,
  broker,
  every,
  signal,
}: {
  authorizer: Authorizer
  broker: string
  every: number
  signal: AbortSignal
}): Promise<void> {
  const url = new URL(`${broker}/v1/whoami`)
  for (;;) {
    await delay(every, undefined, { signal, ref: false }).catch(() => {})
    if (signal.aborted) return
    await authorizer.headers({ method: 'GET', url }).catch(() => {})
  }
}
