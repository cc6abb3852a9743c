import { EventEmitter, once } from 'node:events'
import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import type { LeaseReceipt } from '../protocol/grant.ts'
import type { RevocationOutcome, Target } from '../targets/target.ts'
import type { Failpoints } from './failpoints.ts'
import type { Fleet } from './fleet.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { Log } from './log.ts'
import type { LeaseRow } from './store/schema.ts'
import type { Store } from './store/store.ts'

/** The longest pause between two attempts, in milliseconds. */
const MAX_PAUSE_MS = 60_000
/** How long one attempt may take. */
const ATTEMPT_MS = 20_000
/** How many attempts run at one target at a time: a target that hangs holds up no other. */
const AT_ONCE = 8
/** How often leases that are due are looked for. */
const POLL_MS = 1000
const BATCH = 500
/** How long to wait before looking again for a credential that may still be in the making. */
const UNSETTLED_MS = 2000

/** The pause after so many attempts: doubled each time, capped, and jittered so that retries spread. */
export function retryPause(attempts: number, random: () => number = Math.random): number {
  const pause = Math.min(MAX_PAUSE_MS, 500 * 2 ** Math.min(attempts, 10))
  return Math.round(pause / 2 + (random() * pause) / 2)
}

interface Parts {
  readonly store: Store
  readonly ledger: Ledger
  readonly fleet: Fleet
  readonly log: Log
  readonly failpoint: Failpoints
}

/** Undoes leases until their targets confirm it, however long that takes. */
export class Revoker {
  readonly #parts: Parts
  /** Waiting and running attempts by target; a lease is in at most one place. */
  readonly #queues = new Map<string, { waiting: LeaseRow[]; running: number }>()
  readonly #taken = new Set<string>()
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
    while ([...this.#queues.values()].some(({ running }) => running > 0)) {
      await once(this.#events, 'attempt')
    }
  }

  /** Begins with these leases at once; they are due in the ledger already. */
  undo(leases: readonly LeaseRow[]): void {
    for (const lease of leases) {
      if (this.#taken.has(lease.id)) continue
      this.#taken.add(lease.id)
      const queue = this.#queues.get(lease.target) ?? { waiting: [], running: 0 }
      this.#queues.set(lease.target, queue)
      queue.waiting.push(lease)
      this.#drain(lease.target)
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

  #drain(target: string): void {
    const queue = this.#queues.get(target)
    while (queue && !this.#stopped && queue.running < AT_ONCE) {
      const lease = queue.waiting.shift()
      if (!lease) return
      queue.running += 1
      void this.#attempt(lease).finally(() => {
        queue.running -= 1
        this.#taken.delete(lease.id)
        this.#events.emit('attempt')
        this.#drain(target)
      })
    }
  }

  async #poll(): Promise<void> {
    try {
      const waiting = [...this.#queues].filter(([, queue]) => queue.waiting.length > 0)
      const busy = waiting.map(([target]) => target)
      this.undo(await this.#parts.ledger.leases.due(BATCH, busy))
    } catch (thrown) {
      this.#parts.log.warn('the ledger could not be read', { reason: String(thrown) })
    }
  }

  async #attempt(queued: LeaseRow): Promise<void> {
    const { log } = this.#parts
    let lease = queued
    try {
      // While it waited here, its mint may have become known, or another attempt have settled it.
      lease = await this.#parts.ledger.leases.get(queued.id)
      if (lease.next_attempt_at === null) return
      await this.#record(lease, await this.#revoke(lease))
    } catch (thrown) {
      const { code, message } = JitError.from(thrown)
      const problem = code === 'internal' ? 'the broker failed; its log says more' : message
      if (code === 'internal')
        log.warn('revoking failed', { handle: lease.handle, reason: message })
      this.#parts.fleet.forgetIdentity(lease.target)
      const at = this.#parts.store.now() + retryPause(lease.attempts)
      await this.#parts.ledger.leases
        .postpone(lease, { at, problem })
        // The lease stays due: the next poll finds it.
        .catch((failed) => log.warn('the ledger could not be written', { reason: String(failed) }))
    }
  }

  async #revoke(lease: LeaseRow): Promise<RevocationOutcome> {
    const { fleet, ledger, failpoint } = this.#parts
    const target = this.#targetOf(lease)
    const signal = AbortSignal.timeout(ATTEMPT_MS)
    const identity = await fleet.identity(target, signal)
    if (identity !== lease.target_identity) {
      throw new JitError(
        'target_refused',
        `'${lease.target}' is another system now: this was made at ${lease.target_identity}`,
      )
    }
    const undo = ledger.leases.undoOf(lease)
    const outcome = await target.revoke(
      {
        handle: lease.handle,
        expiresAt: lease.expires_at,
        confirmed: lease.confirmed === 1,
        mintBy: lease.mint_by,
        ...(undo === undefined ? {} : { undo }),
        ...(lease.external_id === null ? {} : { externalId: lease.external_id }),
      },
      signal,
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
    const receipt: LeaseReceipt = {
      target: lease.target,
      handle: lease.handle,
      outcome: outcome.kind === 'revoked' ? 'revoked' : 'expires_at',
      revocability: lease.revocability,
      at: toTimestamp(outcome.kind === 'revoked' ? now : outcome.at),
      ...(outcome.detail === undefined ? {} : { detail: outcome.detail }),
    }
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
