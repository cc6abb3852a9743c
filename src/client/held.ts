import { JitError } from '../lib/errors.ts'
import type { ClientMessage } from '../protocol/lifeline.ts'
import type { ClaimedContext } from '../protocol/request.ts'

/** Milliseconds until an answer to `renew` is given up: several targets may have to say yes. */
const ANSWER_WITHIN = 30_000

/** Sends what is to be said of the grant. @returns whether there is a connection to say it on */
type Send = (message: (grant: string) => ClientMessage) => boolean

/** What is said on a lifeline while its grant is held: how long it lasts, and where the command stands. */
export class Held {
  readonly #send: Send
  #renewal: PromiseWithResolvers<void> | undefined
  #told: ClaimedContext | undefined
  #onDeadline: (expiresAt: string) => void = () => {}

  constructor(send: Send) {
    this.#send = send
  }

  /** Told each deadline that the broker names from now on (RFC 3339). */
  onDeadline(listener: (expiresAt: string) => void): void {
    this.#onDeadline = listener
  }

  /**
   * Asks for more time; the new deadline is told first.
   * @throws JitError what the broker answers; `broker_unreachable` where no answer comes
   */
  async renew(): Promise<void> {
    const renewal = Promise.withResolvers<void>()
    this.#renewal = renewal
    const late = new JitError('broker_unreachable', 'the broker did not answer')
    const timer = setTimeout(() => renewal.reject(late), ANSWER_WITHIN)
    try {
      if (!this.#send((grant) => ({ type: 'renew', grant }))) throw late
      await renewal.promise
    } finally {
      clearTimeout(timer)
      this.#renewal = undefined
    }
  }

  /** Says where the command stands now: on this connection, and on each that follows. */
  tell(claimed: ClaimedContext): void {
    this.#told = claimed
    this.#send((grant) => ({ type: 'context', grant, claimed }))
  }

  lasts(expiresAt: string): void {
    this.#onDeadline(expiresAt)
  }

  renewed(expiresAt: string): void {
    this.#onDeadline(expiresAt)
    this.#renewal?.resolve()
  }

  /** A renewal was answered with a no, or won't be. @returns whether one was under way */
  failed(error: JitError): boolean {
    this.#renewal?.reject(error)
    return this.#renewal !== undefined
  }

  /** On another connection: what was told on the one before may not have arrived. */
  resumed(): void {
    if (this.#told) this.tell(this.#told)
  }
}
