import type { Log } from './log.ts'

/** `setTimeout` takes no more. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * A monotonic timer for each grant's deadline. The store's clock is asked as well, once a second:
 * the earlier wins.
 */
export class Deadlines {
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #log: Log
  readonly #end: (grant: string) => Promise<unknown>

  constructor(parts: { log: Log; end: (grant: string) => Promise<unknown> }) {
    this.#log = parts.log
    this.#end = parts.end
  }

  /** @param milliseconds until the deadline */
  watch(grant: string, milliseconds: number): void {
    this.forget(grant)
    const timer = setTimeout(
      () => {
        this.#timers.delete(grant)
        this.#end(grant).catch((thrown: unknown) => {
          this.#log.warn('a deadline could not be recorded', { grant, reason: String(thrown) })
        })
      },
      Math.min(Math.max(0, milliseconds), MAX_TIMER_MS),
    )
    this.#timers.set(grant, timer)
  }

  forget(grant: string): void {
    clearTimeout(this.#timers.get(grant))
    this.#timers.delete(grant)
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }
}
