import { JitError } from '../lib/errors.ts'
import type { Principal } from '../protocol/principal.ts'

const MINUTE_MS = 60_000

/** How often each principal may ask what costs the broker work and leaves no trace. */
export class Pace {
  readonly #perMinute: number
  readonly #asked = new Map<string, number>()
  #since = Number.NEGATIVE_INFINITY

  constructor(perMinute: number) {
    this.#perMinute = perMinute
  }

  /**
   * @param now milliseconds since the epoch
   * @throws JitError `limit_reached`
   */
  take({ kind, id }: Principal, now: number): void {
    if (now - this.#since >= MINUTE_MS) {
      this.#since = now
      this.#asked.clear()
    }
    const who = `${kind}:${id}`
    const asked = this.#asked.get(who) ?? 0
    if (asked >= this.#perMinute) {
      throw new JitError('limit_reached', `that was asked ${asked} times in a minute`, {
        hint: 'wait a minute before you ask again',
      })
    }
    this.#asked.set(who, asked + 1)
  }
}
