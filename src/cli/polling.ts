import { setTimeout as delay } from 'node:timers/promises'
import { type ErrorCode, JitError } from '../lib/errors.ts'

/** After these the broker is asked again. */
const TRANSIENT: readonly ErrorCode[] = [
  'broker_unreachable',
  'broker_failed',
  'issuer_unreachable',
]

/**
 * What the broker says, again and again until the signal; a broker that is out of reach for a while is
 * asked on.
 * @param options.every milliseconds
 * @param options.lost told once each time the broker can't be reached
 * @throws JitError anything else that the broker answers; `cancelled`
 */
export async function* polled<T>(
  look: () => Promise<T>,
  options: { every: number; signal: AbortSignal; lost(error: JitError): void },
): AsyncGenerator<T, never> {
  const { every, signal } = options
  let reached = true
  for (;;) {
    signal.throwIfAborted()
    try {
      const found = await look()
      reached = true
      yield found
    } catch (thrown) {
      signal.throwIfAborted()
      const error = JitError.from(thrown)
      if (!TRANSIENT.includes(error.code)) throw thrown
      if (reached) options.lost(error)
      reached = false
    }
    await delay(every, undefined, { signal }).catch(() => {})
  }
}
