import type { Clock } from '../../lib/clock.ts'

/** How often something may happen: so many times at once, and so many a second in the long run. */
export class Allowance {
  readonly #most: number
  readonly #perSecond: number
  readonly #clock: Clock
  #left: number
  #counted: number

  constructor({ most, perSecond, clock }: { most: number; perSecond: number; clock: Clock }) {
    this.#most = most
    this.#perSecond = perSecond
    this.#clock = clock
    this.#left = most
    this.#counted = clock.monotonic()
  }

  /** @returns whether it may happen once more, now */
  take(): boolean {
    const now = this.#clock.monotonic()
    const gained = ((now - this.#counted) / 1000) * this.#perSecond
    this.#left = Math.min(this.#most, this.#left + gained)
    this.#counted = now
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}
