import type { AskEvents, Asked, Opening, Pending, Requested } from '../client/asking.ts'
import type { Lifeline } from '../client/lifeline.ts'
import type { StepUp } from '../client/sign-in-again.ts'
import type { Clock } from '../lib/clock.ts'
import { formatDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'

/** How long a request that waits for approval is waited for. */
export type Patience =
  | { readonly kind: 'until_lapsed' }
  | { readonly kind: 'at_most'; readonly seconds: number }
  /** Not at all: it goes on waiting by itself. */
  | { readonly kind: 'none' }

/** What is told until there is a grant. */
export interface AskProgress extends AskEvents {
  /** Nothing is waited for any more, whatever came of it. */
  waited(): void
  /** @param confirmed whether the broker said so; else it does so by itself */
  withdrawn(pending: Pending, confirmed: boolean): void
}

export interface Asks {
  readonly lifeline: Lifeline
  readonly opening: Opening
  readonly patience: Patience
  readonly stepUp: StepUp
  /** Takes a request back that nobody waits for any more. */
  readonly withdraw: (grant: string) => Promise<void>
  readonly clock: Clock
  readonly progress: AskProgress
  /** Aborted with a `JitError` as its reason. */
  readonly signal: AbortSignal
}

/**
 * Asks, and waits as long as `patience` has it. A request of this command that is then given up is
 * taken back; one that was made before stays for another try.
 * @throws JitError what {@link Lifeline.ask} throws; `request_lapsed` after the longest wait
 */
export async function askFor(asks: Asks): Promise<Asked & { requested: Requested | undefined }> {
  const { lifeline, opening, patience, progress, stepUp } = asks
  let requested: Requested | undefined
  using limit = longestWait(patience)
  const events: AskEvents = {
    requested: (message) => {
      requested = message
      progress.requested(message)
    },
    pending: (message) => {
      limit.start()
      progress.pending(message)
    },
    approved: (message) => progress.approved(message),
    lost: (error) => progress.lost(error),
  }
  const signal = AbortSignal.any([asks.signal, limit.signal])
  const detach = patience.kind === 'none'
  try {
    const asked = await lifeline.ask({ opening, detach, events, stepUp, signal })
    return { ...asked, requested }
  } catch (thrown) {
    progress.waited()
    if (opening.type === 'request' && lifeline.pending) await takeBack(asks, lifeline.pending)
    throw thrown
  } finally {
    progress.waited()
  }
}

async function takeBack({ withdraw, progress }: Asks, pending: Pending): Promise<void> {
  const confirmed = await withdraw(pending.grant).then(
    () => true,
    () => false,
  )
  progress.withdrawn(pending, confirmed)
}

/** Aborts the wait when it has lasted too long; counted from the first time it is started. */
function longestWait(patience: Patience): Disposable & { signal: AbortSignal; start(): void } {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  return {
    signal: controller.signal,
    start() {
      if (patience.kind !== 'at_most') return
      const { seconds } = patience
      timer ??= setTimeout(() => controller.abort(tooLong(seconds)), inTimer(seconds))
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  }
}

function tooLong(seconds: number): JitError {
  return new JitError('request_lapsed', `not approved within ${formatDuration(seconds)}`, {
    hint: 'ask again and wait longer, or ask ahead with jit request',
  })
}

/** Milliseconds; timers count no further than some 24 days, and a request lapses long before. */
function inTimer(seconds: number): number {
  return Math.min(seconds * 1000, 2 ** 31 - 1)
}
