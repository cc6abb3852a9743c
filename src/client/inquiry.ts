import type { Clock } from '../lib/clock.ts'
import type { ErrorCode, JitError } from '../lib/errors.ts'
import type { ClientMessage } from '../protocol/lifeline.ts'
import type { Approved, Asking, Pending, Requested } from './asking.ts'
import { SignInAgain } from './sign-in-again.ts'

/** How long a request is asked again when its connection breaks before the answer, in milliseconds. */
const ASK_AGAIN_FOR = 10_000
/** Why a request that waits is asked again; the first of them also for one that has no answer yet. */
const TRANSIENT: readonly ErrorCode[] = [
  'broker_unreachable',
  'broker_failed',
  'issuer_unreachable',
]

/** One request until it is granted or not: what it waits for, and whether it is asked once more. */
export class Inquiry {
  readonly #asking: Asking
  readonly #clock: Clock
  readonly #send: (message: ClientMessage) => void
  readonly #signIn: SignInAgain
  /** By the monotonic clock. */
  #until: number
  #announced = false
  #detaching = false
  #pending: Pending | undefined
  #attempts = 0

  /**
   * @param parts.send on the connection of the moment, if there is one
   * @param parts.fail ends the wait
   */
  constructor(
    asking: Asking,
    parts: {
      clock: Clock
      send: (message: ClientMessage) => void
      fail: (error: JitError) => void
    },
  ) {
    const { clock, send, fail } = parts
    this.#asking = asking
    this.#clock = clock
    this.#send = send
    this.#until = clock.monotonic() + ASK_AGAIN_FOR
    const proceed = (grant: string) => send({ type: 'continue', grant })
    this.#signIn = new SignInAgain({ stepUp: asking.stepUp, proceed, fail })
  }

  /** The request that waits, while one does. */
  get pending(): Pending | undefined {
    return this.#pending
  }

  /** @returns how often it was tried since the broker last said anything: of the first it is told */
  nextAttempt(error: JitError | undefined): number {
    if (error && this.#attempts === 0) this.#asking.events.lost(error)
    return this.#attempts++
  }

  /** Whether what went wrong with a connection is reason to open another and ask the same. */
  mayAskAgain(error: JitError): boolean {
    const transient = this.#pending ? TRANSIENT : TRANSIENT.slice(0, 1)
    const again = transient.includes(error.code) || error.retryAfter !== undefined
    return again && this.#clock.monotonic() < this.#until
  }

  /** A new connection, on which the same is asked. */
  reopened(): void {
    this.#signIn.reopened()
  }

  requested(requested: Requested): void {
    if (!this.#announced) this.#asking.events.requested(requested)
    this.#announced = true
  }

  waits(pending: Pending): void {
    const { grant, obligation, lapses_at } = pending
    this.#pending = pending
    this.#attempts = 0
    const left = Math.max(0, Date.parse(lapses_at) - this.#clock.now())
    this.#until = this.#clock.monotonic() + left + ASK_AGAIN_FOR
    this.#asking.events.pending(pending)
    this.#signIn.wanted(grant, obligation.sign_in)
    if (obligation.sign_in || !this.#asking.detach) return
    this.#detaching = true
    this.#send({ type: 'detach', grant })
  }

  approved(approved: Approved): void {
    this.#asking.events.approved(approved)
  }

  /** It has its answer: nothing waits any more. */
  answered(): void {
    this.#pending = undefined
  }

  /** The broker closed, and nothing will follow. @returns the request, if that is because it is left to itself */
  leftToItself(): Pending | undefined {
    if (!this.#detaching) return undefined
    const pending = this.#pending
    this.#pending = undefined
    return pending
  }
}
