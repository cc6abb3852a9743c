import { JitError } from '../lib/errors.ts'
import type { Principal } from '../protocol/principal.ts'
import { addressKey } from './client-address.ts'
import { TokenBuckets } from './token-buckets.ts'

/** A request of which only the address is known yet. */
export interface Arrival {
  /**
   * Counts as a principal's from here on, and no more as its address's: those who share one are in
   * nobody's way. @throws JitError `limit_reached`
   */
  of(principal: Principal): void
  /** The same, where what was asked is done already. One too many stays with the address. */
  was(principal: Principal): void
  /** Comes from whom the configuration trusts with a secret or a key: not counted. */
  trusted(): void
}

/** @param seconds until it may be tried again */
export function tooOften(message: string, seconds: number): JitError {
  return new JitError('limit_reached', message, {
    hint: `try again in ${seconds} s`,
    retryAfter: seconds,
  })
}

/** What a principal is counted under. */
export const principalKey = ({ kind, id }: Principal) => `${kind}:${id}`

/** How often who may ask, at this node. */
export class RateLimits {
  readonly #addresses: TokenBuckets
  readonly #principals: TokenBuckets

  /**
   * @param limits requests a minute
   * @param now milliseconds that never go back
   */
  constructor(
    limits: { readonly requestsPerAddress: number; readonly requestsPerPrincipal: number },
    now: () => number,
  ) {
    this.#addresses = new TokenBuckets(limits.requestsPerAddress, now)
    this.#principals = new TokenBuckets(limits.requestsPerPrincipal, now)
  }

  /** Before anything is done for a request. @throws JitError `limit_reached` */
  arrive(address: string): Arrival {
    const key = addressKey(address)
    const seconds = this.#addresses.take(key)
    if (seconds > 0) throw tooOften('too many requests from your address', seconds)
    const leave = () => this.#addresses.give(key)
    return {
      of: (principal) => {
        this.take(principal)
        leave()
      },
      was: (principal) => {
        if (this.#principals.take(principalKey(principal)) === 0) leave()
      },
      trusted: leave,
    }
  }

  /** One request or message of a principal. @throws JitError `limit_reached` */
  take(principal: Principal): void {
    const seconds = this.#principals.take(principalKey(principal))
    if (seconds > 0) throw tooOften('too many requests', seconds)
  }
}
