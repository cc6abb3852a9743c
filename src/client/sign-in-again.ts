import { JitError } from '../lib/errors.ts'
import type { SignInObligation } from '../protocol/obligation.ts'

/** Signs the person in again (RFC 9470). @throws JitError where that can't be done */
export type StepUp = (signIn: SignInObligation) => Promise<void>

/**
 * The sign-ins that a waiting request wants: one each time policy asks, whatever becomes of the
 * connection meanwhile. A sign-in that doesn't satisfy it ends the wait instead of asking for ever.
 */
export class SignInAgain {
  readonly #parts: {
    readonly stepUp: StepUp
    readonly proceed: (grant: string) => void
    readonly fail: (error: JitError) => void
  }
  #state: 'idle' | 'running' | 'answered' = 'idle'
  /** Whether the broker may not have heard of the last sign-in. */
  #reopened = false

  constructor(parts: {
    stepUp: StepUp
    proceed: (grant: string) => void
    fail: (error: JitError) => void
  }) {
    this.#parts = parts
  }

  /** A new connection: what was sent on the one before may be lost. */
  reopened(): void {
    this.#reopened = true
  }

  /** What the broker now says that a request waits for. */
  wanted(grant: string, signIn: SignInObligation | undefined): void {
    if (this.#state === 'running') return
    if (!signIn) this.#state = 'idle'
    else if (this.#state === 'idle') void this.#run(grant, signIn)
    else if (this.#reopened) this.#proceed(grant)
    else this.#parts.fail(notEnough())
  }

  async #run(grant: string, signIn: SignInObligation): Promise<void> {
    this.#state = 'running'
    try {
      await this.#parts.stepUp(signIn)
    } catch (thrown) {
      this.#state = 'idle'
      this.#parts.fail(JitError.from(thrown))
      return
    }
    this.#state = 'answered'
    this.#proceed(grant)
  }

  #proceed(grant: string): void {
    this.#reopened = false
    this.#parts.proceed(grant)
  }
}

function notEnough(): JitError {
  return new JitError(
    'insufficient_user_authentication',
    'this sign-in is not what policy wants: it asks for another one',
    { hint: 'sign in with a stronger method, or ask whoever keeps the policies' },
  )
}
