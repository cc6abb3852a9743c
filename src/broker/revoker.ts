import { EventEmitter, once } from 'node:events'
import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import type { LeaseReceipt } from '../protocol/grant.ts'
import type { RevocationOutcome, Target } from '../targets/target.ts'
import { disconnectTogether, leaseToRevoke } from './disconnect.ts'
import type { Failpoints } from './failpoints.ts'
import type { Fleet } from './fleet.ts'
import { inTime } from './in-time.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { Log } from './log.ts'
import { type QueuedLease, RevocationQueue, retryPause } from './revocation-queue.ts'
import type { LeaseRow } from './store/schema.ts'
import type { Store } from './store/store.ts'

/** How long one attempt may take, in milliseconds. */
const ATTEMPT_MS = 20_000
/** How often leases that are due are looked for. */
const POLL_MS = 1000
/** How many are looked for at once, of all targets or of one. */
const BATCH = 500
/** How long to wait before looking again for a credential that may still be in the making. */
const UNSETTLED_MS = 2000

interface Parts {
  readonly store: Store
  readonly ledger: Ledger
  readonly fleet: Fleet
  readonly log: Log
  readonly failpoint: Failpoints
}

/**
 * Undoes leases until their targets confirm it, however long that takes. What is due is in the ledger;
 * of each target a bounded part is in memory.
 */
export class Revoker {
  readonly #parts: Parts
  readonly #queues = new Map<string, RevocationQueue>()
  /** Leases that are in a queue or at a target; each is in at most one place. */
  readonly #taken = new Set<string>()
  /** Undone at their target although the ledger can't be told yet that they are to be. */
  readonly #undone = new Set<string>()
  /** Emits `attempt` after each attempt, whatever came of it. */
  readonly #events = new EventEmitter().setMaxListeners(0)
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  start(): void {
    this.#timer = setInterval(() => void this.#poll(), POLL_MS)
  }

  /** Attempts that run are waited for; what is left goes on at the next start. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    while ([...this.#queues.values()].some(({ busy }) => busy)) {
      await once(this.#events, 'attempt')
    }
  }

  /** Begins with these leases at once, as far as there is room; they are due in the ledger already. */
  undo(leases: readonly LeaseRow[]): void {
    // Before their turns are taken: its question goes first.
    void disconnectTogether(
      leases.filter((lease) => this.#isNew(lease)),
      this.#parts,
    )
    for (const lease of leases) {
      this.#undone.delete(lease.id)
      this.#enqueue({ lease, recorded: true })
    }
  }

  /** Not in hand yet, and at a target that can be reached as far as is known. */
  #isNew({ id, target, attempts }: LeaseRow): boolean {
    return attempts === 0 && !this.#taken.has(id) && !this.#queues.get(target)?.problem
  }

  /**
   * Undoes leases whose end can't be recorded, at their targets alone. Once it is recorded they are
   * undone again: already gone is success.
   */
  undoUnrecorded(leases: readonly LeaseRow[]): void {
    for (const lease of leases) {
      if (!this.#undone.has(lease.id)) this.#enqueue({ lease, recorded: false })
    }
  }

  /** Resolves when each of these leases had its attempt, or after `milliseconds`. */
  async attempted(leases: readonly LeaseRow[], milliseconds: number): Promise<void> {
    const signal = AbortSignal.timeout(milliseconds)
    try {
      while (leases.some((lease) => this.#taken.has(lease.id))) {
        await once(this.#events, 'attempt', { signal })
      }
    } catch (thrown) {
      if (!signal.aborted) throw thrown
    }
  }

  #enqueue(queued: QueuedLease): void {
    const { lease } = queued
    if (this.#taken.has(lease.id)) return
    const queue = this.#queues.get(lease.target) ?? new RevocationQueue()
    this.#queues.set(lease.target, queue)
    if (queue.add(queued)) {
      this.#taken.add(lease.id)
      this.#drain(queue, lease.target)
    } else if (queue.problem) this.#putOff(queued, queue)
  }

  /** Why nobody even tried, for whoever asks: told once of each lease, whatever their number. */
  #putOff({ lease, recorded }: QueuedLease, queue: RevocationQueue): void {
    if (lease.problem !== null || !recorded || !queue.problem) return
    this.#taken.add(lease.id)
    void this.#postpone(lease, { problem: queue.problem, pause: queue.rest }).finally(() =>
      this.#release(lease),
    )
  }

  #release(lease: LeaseRow): void {
    this.#taken.delete(lease.id)
    this.#events.emit('attempt')
  }

  #drain(queue: RevocationQueue, target: string): void {
    while (!this.#stopped) {
      const next = queue.take()
      if (!next) break
      let recording = false
      const answered = () => {
        recording = true
        queue.recording()
        this.#drain(queue, target)
      }
      void next
        .within(() => this.#attempt(next, { queue, answered }))
        .finally(() => {
          queue.done(recording)
          this.#release(next.lease)
          this.#drain(queue, target)
          if (queue.more && queue.waiting === 0 && !queue.problem) void this.#refill(target, queue)
        })
    }
  }

  /** Takes more of one target's leases out of the ledger, a single one to try whether it answers again. */
  async #refill(target: string, queue: RevocationQueue): Promise<void> {
    queue.more = false
    const limit = Math.min(BATCH, queue.room)
    const found = await this.#undoDue(limit, { only: target })
    queue.more ||= found === limit
  }

  /** What nobody told us of: due again, or left by an earlier process. */
  async #poll(): Promise<void> {
    const busy = [...this.#queues].filter(
      ([, queue]) => queue.more || queue.waiting > 0 || queue.room === 0,
    )
    const held = busy.filter(([, queue]) => queue.more && queue.waiting === 0 && queue.room > 0)
    await Promise.all(held.map(([target, queue]) => this.#refill(target, queue)))
    await this.#undoDue(BATCH, { except: busy.map(([target]) => target) })
  }

  /** @returns how many were due */
  async #undoDue(limit: number, of: Parameters<Ledger['leases']['due']>[1]): Promise<number> {
    if (this.#stopped) return 0
    try {
      const due = await this.#parts.ledger.leases.due(limit, of)
      this.undo(due)
      await this.#leave(due)
      return due.length
    } catch (thrown) {
      this.#parts.log.warn('the ledger could not be read', { reason: String(thrown) })
      return limit
    }
  }

  async #attempt(
    queued: QueuedLease,
    { queue, answered }: { queue: RevocationQueue; answered: () => void },
  ): Promise<void> {
    const began = performance.now()
    const lease = await this.#current(queued)
    if (!lease) return
    try {
      const outcome = await this.#revoke(lease)
      queue.answered()
      answered()
      if (queued.recorded) await this.#record(lease, outcome)
      else if (outcome.kind === 'revoked') this.#undone.add(lease.id)
    } catch (thrown) {
      const error = JitError.from(thrown)
      if (error.code === 'target_unreachable') this.#rest(queue, error, began)
      else if (error.code === 'target_refused') queue.answered()
      this.#parts.fleet.forgetIdentity(lease.target)
      const pause = Math.max(retryPause(lease.attempts), queue.rest)
      if (queued.recorded) await this.#postpone(lease, { problem: error, pause })
    }
  }

  /** As the ledger has it now: while it waited here, its mint may have become known. */
  async #current({ lease, recorded }: QueuedLease): Promise<LeaseRow | undefined> {
    if (!recorded || lease.confirmed === 1) return lease
    try {
      const now = await this.#parts.ledger.leases.get(lease.id)
      return now.next_attempt_at === null ? undefined : now
    } catch (thrown) {
      this.#parts.log.warn('the ledger could not be read', { reason: String(thrown) })
      return lease
    }
  }

  #rest(queue: RevocationQueue, problem: JitError, began: number): void {
    const dropped = queue.unreachable(problem, began)
    for (const one of dropped) {
      this.#release(one.lease)
      this.#putOff(one, queue)
    }
    void this.#leave(dropped.map(({ lease }) => lease))
  }

  /** What there is no room for here is left to nodes that may have better luck. */
  async #leave(leases: readonly LeaseRow[]): Promise<void> {
    const { store, ledger, log } = this.#parts
    const left = leases.map(({ id }) => id).filter((id) => !this.#taken.has(id))
    if (!store.shared || left.length === 0) return
    await ledger.leases
      .leave(left)
      .catch((failed) => log.warn('the ledger could not be written', { reason: String(failed) }))
  }

  async #postpone(
    lease: LeaseRow,
    { problem, pause }: { problem: JitError; pause: number },
  ): Promise<void> {
    const { log, ledger, store } = this.#parts
    const { code, message } = problem
    const { handle } = lease
    if (code === 'internal') log.warn('revoking failed', { handle, reason: message })
    const told = code === 'internal' ? 'the broker failed; its log says more' : message
    await ledger.leases
      .postpone(lease, { at: store.now() + Math.round(pause), problem: told })
      // The lease stays due: the next poll finds it.
      .catch((failed) => log.warn('the ledger could not be written', { reason: String(failed) }))
  }

  async #revoke(lease: LeaseRow): Promise<RevocationOutcome> {
    const { fleet, ledger, failpoint } = this.#parts
    const target = this.#targetOf(lease)
    const undo = ledger.leases.undoOf(lease)
    const outcome = await inTime(
      { target: lease.target, milliseconds: ATTEMPT_MS },
      async (signal) => {
        const identity = await fleet.identity(target, signal)
        if (identity !== lease.target_identity) {
          throw new JitError(
            'target_refused',
            `'${lease.target}' is another system now: this was made at ${lease.target_identity}`,
          )
        }
        const known = leaseToRevoke(lease)
        return target.revoke(undo === undefined ? known : { ...known, undo }, signal)
      },
    )
    failpoint('revoke:undone')
    return outcome
  }

  #targetOf(lease: LeaseRow): Target {
    const member = this.#parts.fleet.get(lease.target)
    if (member?.target.type === lease.type) return member.target
    throw new JitError('target_refused', `'${lease.target}' is not configured any more`)
  }

  async #record(lease: LeaseRow, outcome: RevocationOutcome): Promise<void> {
    const { ledger, store, failpoint } = this.#parts
    const now = store.now()
    if (outcome.kind === 'unsettled') {
      await ledger.leases.postpone(lease, { at: now + UNSETTLED_MS, problem: null })
      return
    }
    const receipt = receiptOf(lease, outcome, now)
    if (outcome.kind === 'ends_at') {
      await ledger.leases.postpone(lease, { at: outcome.at, problem: null, outcome: receipt })
      return
    }
    const cleanup = outcome.cleanup
    await ledger.leases.settle(lease, {
      receipt:
        cleanup === undefined ? receipt : { ...receipt, detail: `cleanup pending: ${cleanup}` },
      ...(cleanup === undefined
        ? {}
        : { cleanup: { what: cleanup, again: now + retryPause(lease.attempts) } }),
    })
    failpoint('revoke:settled')
  }
}

function receiptOf(
  { target, handle, revocability }: LeaseRow,
  outcome: Exclude<RevocationOutcome, { kind: 'unsettled' }>,
  now: number,
): LeaseReceipt {
  const revoked = outcome.kind === 'revoked'
  return {
    target,
    handle,
    outcome: revoked ? 'revoked' : 'expires_at',
    revocability,
    at: toTimestamp(revoked ? now : outcome.at),
    ...(outcome.detail === undefined ? {} : { detail: outcome.detail }),
  }
}
