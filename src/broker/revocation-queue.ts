import { AsyncLocalStorage } from 'node:async_hooks'
import type { JitError } from '../lib/errors.ts'
import type { LeaseRow } from './store/schema.ts'

/** How many attempts run at one target at a time: a target that hangs holds up no other. */
const AT_ONCE = 8
/** How many more the target has answered for, and the ledger is being told: they are recorded together. */
const RECORDED_AT_ONCE = 64
/** How many leases of one target wait in memory; the rest is due in the ledger. */
const ROOM = 500
/** The longest pause between two attempts, in milliseconds. */
const MAX_PAUSE_MS = 30_000

/** The pause after so many attempts: doubled each time, capped, and jittered so that retries spread. */
export function retryPause(attempts: number, random: () => number = Math.random): number {
  const pause = Math.min(MAX_PAUSE_MS, 500 * 2 ** Math.min(attempts, 10))
  return Math.round(pause / 2 + (random() * pause) / 2)
}

/** A lease to be undone now. */
export interface QueuedLease {
  readonly lease: LeaseRow
  /** Whether the ledger knows that it is to be undone. */
  readonly recorded: boolean
}

/** One with what it was undone for: its attempt belongs there, whoever's place it takes. */
interface WaitingLease extends QueuedLease {
  readonly within: ReturnType<typeof AsyncLocalStorage.snapshot>
}

/**
 * What is to be undone at one target. One that can't be reached is left alone for a growing while, and
 * then tried with a single lease, however many are due there.
 */
export class RevocationQueue {
  #waiting: WaitingLease[] = []
  #running = 0
  #recording = 0
  #failures = 0
  #restsUntil = 0
  #succeededAt = Number.NEGATIVE_INFINITY
  #problem: JitError | undefined
  /** Whether the ledger may hold more that is due. */
  more = false

  /** Whether something is at the target, or being recorded. */
  get busy(): boolean {
    return this.#running > 0 || this.#recording > 0
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Why the target could not be reached when it was last tried; absent while it can. */
  get problem(): JitError | undefined {
    return this.#problem
  }

  /** Milliseconds that the target is left alone yet. */
  get rest(): number {
    return Math.max(0, this.#restsUntil - performance.now())
  }

  /** How many more leases it takes. */
  get room(): number {
    if (!this.#problem) return ROOM - this.#waiting.length
    return this.rest > 0 || this.#running > 0 || this.#waiting.length > 0 ? 0 : 1
  }

  /** @returns whether there was room; if not, it stays due in the ledger */
  add(queued: QueuedLease): boolean {
    const taken = this.room > 0
    if (taken) this.#waiting.push({ ...queued, within: AsyncLocalStorage.snapshot() })
    else this.more = true
    return taken
  }

  /** The next to be tried, unless enough of them are. */
  take(): WaitingLease | undefined {
    const full = this.#running >= AT_ONCE || this.#recording >= RECORDED_AT_ONCE
    if (full || this.rest > 0) return undefined
    const next = this.#waiting.shift()
    if (next) this.#running += 1
    return next
  }

  /** An attempt is over at the target: what came of it is being recorded, and another may begin. */
  recording(): void {
    this.#running -= 1
    this.#recording += 1
  }

  /** An attempt is over. @param recorded whether it was said to be {@link recording} */
  done(recorded: boolean): void {
    if (recorded) this.#recording -= 1
    else this.#running -= 1
  }

  /** The target has answered. */
  answered(): void {
    this.#succeededAt = performance.now()
    this.#failures = 0
    this.#problem = undefined
  }

  /**
   * The target could not be reached, unless it answered others since `began`.
   * @returns those that wait no longer here: they stay due in the ledger
   */
  unreachable(problem: JitError, began: number): QueuedLease[] {
    if (this.#succeededAt >= began) return []
    if (this.rest === 0) this.#restsUntil = performance.now() + retryPause(this.#failures++)
    this.#problem = problem
    this.more = true
    return this.#waiting.splice(0)
  }
}
