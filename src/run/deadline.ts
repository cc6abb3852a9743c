import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../lib/clock.ts'

/** The longest step of a wait: the wall clock is looked at as often, for a machine that slept. */
const STEP = 1000

/**
 * When a grant ends, by two clocks of which the earlier wins: the monotonic one, which nobody can
 * turn back, and the wall clock, which goes on while the machine sleeps. A renewal moves it.
 */
export class Deadline {
  readonly #clock: Clock
  #expiresAt = ''
  #wall = 0
  #monotonic = 0
  #span = 0

  /** @param expiresAt RFC 3339 */
  constructor(expiresAt: string, clock: Clock) {
    this.#clock = clock
    this.move(expiresAt)
  }

  /** RFC 3339. */
  get expiresAt(): string {
    return this.#expiresAt
  }

  /** Milliseconds that were left when it was set. */
  get span(): number {
    return this.#span
  }

  move(expiresAt: string): void {
    if (expiresAt === this.#expiresAt) return
    this.#expiresAt = expiresAt
    this.#wall = Date.parse(expiresAt)
    this.#span = this.#wall - this.#clock.now()
    this.#monotonic = this.#clock.monotonic() + this.#span
  }

  /** Milliseconds. */
  left(): number {
    return Math.min(this.#monotonic - this.#clock.monotonic(), this.#wall - this.#clock.now())
  }

  /** Resolves when no more than this is left, wherever it was moved meanwhile; or by the signal. */
  async near(milliseconds: () => number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const left = this.left() - milliseconds()
      if (left <= 0 || signal.aborted) return
      await delay(Math.min(left, STEP), undefined, { signal }).catch(() => {})
    }
  }

  async passed(signal: AbortSignal): Promise<void> {
    await this.near(() => 0, signal)
  }
}
