import type { LeaseReceipt } from '../../protocol/grant.ts'
import type { AuditEvent, AuditLog } from '../audit.ts'
import { GRANT, LEASE } from '../grant-state.ts'
import type { Seal } from '../seal.ts'
import type { LeaseRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'
import { principalOf } from './rows.ts'

/** The one writer of leases that are being revoked, and where those that are due are found. */
export class LeaseLedger {
  readonly #store: Store
  readonly #audit: AuditLog
  readonly #seal: Seal

  constructor(parts: { store: Store; audit: AuditLog; seal: Seal }) {
    this.#store = parts.store
    this.#audit = parts.audit
    this.#seal = parts.seal
  }

  /**
   * Records what an attempt to revoke achieved for good. `cleanup` names what is harmless and still
   * there: it is tried again at `again`.
   */
  async settle(
    lease: LeaseRow,
    settled: { receipt: LeaseReceipt; cleanup?: { what: string; again: number } },
  ): Promise<void> {
    await this.#store.transaction(async (tx) => {
      const changed = await tx
        .updateTable('leases')
        .set({
          state: LEASE.settle.to,
          outcome: JSON.stringify(settled.receipt),
          problem: null,
          undo: settled.cleanup ? lease.undo : null,
          cleanup: settled.cleanup?.what ?? null,
          next_attempt_at: settled.cleanup?.again ?? null,
          attempts: lease.attempts + 1,
        })
        .where('id', '=', lease.id)
        .where('state', '=', lease.state)
        .executeTakeFirst()
      if (changed.numUpdatedRows === 0n) return
      if (lease.state === 'revoking') await this.#settleGrant(tx, lease, settled.receipt)
      else if (!settled.cleanup) await this.#audit.append(tx, cleanedEvent(lease))
    })
  }

  /** Records a revoked lease, and the grant's end when it was the last one. */
  async #settleGrant(tx: Tx, lease: LeaseRow, receipt: LeaseReceipt): Promise<void> {
    const revoked = { event: 'lease.revoked', principal: null, grant: lease.grant_id } as const
    const events: AuditEvent[] = [{ ...revoked, receipt }]
    const open = await tx
      .selectFrom('leases')
      .select('id')
      .where('grant_id', '=', lease.grant_id)
      .where('state', '!=', 'revoked')
      .limit(1)
      .executeTakeFirst()
    if (!open) {
      const row = await tx
        .updateTable('grants')
        .set({ state: GRANT.settle.to })
        .where('id', '=', lease.grant_id)
        .where('state', 'in', GRANT.settle.from)
        .returningAll()
        .executeTakeFirst()
      if (row) {
        events.push({ event: 'grant.revoked', principal: principalOf(row), grant: row.id })
      }
    }
    await this.#audit.append(tx, ...events)
  }

  /** Records an attempt to revoke that was not confirmed, and when the next is due. */
  async postpone(
    lease: LeaseRow,
    next: { at: number; problem: string | null; outcome?: LeaseReceipt },
  ): Promise<void> {
    const news = next.problem !== null && next.problem !== lease.problem
    await this.#store.transaction(async (tx) => {
      await tx
        .updateTable('leases')
        .set({
          attempts: lease.attempts + 1,
          next_attempt_at: next.at,
          problem: next.problem,
          ...(next.outcome ? { outcome: JSON.stringify(next.outcome) } : {}),
        })
        .where('id', '=', lease.id)
        .where('state', '=', lease.state)
        .execute()
      if (!news) return
      await this.#audit.append(tx, {
        event: 'lease.retrying',
        principal: null,
        grant: lease.grant_id,
        target: lease.target,
        handle: lease.handle,
        problem: next.problem,
      })
    })
  }

  /** What undoes a lease beside its handle, unsealed. */
  undoOf(lease: LeaseRow): string | undefined {
    return lease.undo === null ? undefined : this.#seal.open(lease.undo, `undo:${lease.id}`)
  }

  /**
   * Leases with an attempt due, the longest due first.
   * @param except targets that have enough waiting already: a hung one takes no place from others
   */
  due(limit: number, except: readonly string[]): Promise<LeaseRow[]> {
    const due = this.#store.db
      .selectFrom('leases')
      .selectAll()
      .where('next_attempt_at', '<=', this.#store.now())
      .orderBy('next_attempt_at')
      .limit(limit)
    return (except.length === 0 ? due : due.where('target', 'not in', except)).execute()
  }

  /** A lease as it is now. */
  get(id: string): Promise<LeaseRow> {
    return this.#store.db
      .selectFrom('leases')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
  }

  byHandle(handles: readonly string[]): Promise<LeaseRow[]> {
    return this.#store.db.selectFrom('leases').selectAll().where('handle', 'in', handles).execute()
  }

  /** Makes a lease that was thought gone due again: its credential was seen at the target. */
  async revive(lease: LeaseRow): Promise<LeaseRow> {
    return this.#store.transaction(async (tx) => {
      const what = 'seen at the target after it was revoked'
      const revived = await tx
        .updateTable('leases')
        .set({ next_attempt_at: this.#store.now(), cleanup: what })
        .where('id', '=', lease.id)
        .where('state', '=', 'revoked')
        .returningAll()
        .executeTakeFirstOrThrow()
      await this.#audit.append(tx, {
        event: 'lease.revived',
        principal: null,
        grant: lease.grant_id,
        target: lease.target,
        handle: lease.handle,
      })
      return revived
    })
  }

  /** Records that a credential which no lease is known of was found at a target and undone. */
  async strayRevoked(stray: { target: string; handle: string }): Promise<void> {
    await this.#store.transaction(async (tx) => {
      await this.#audit.append(tx, { event: 'lease.stray_revoked', principal: null, ...stray })
    })
  }

  /** The handle of the newest lease: what sorts after it was made by a ledger newer than this one. */
  async newestHandle(): Promise<string> {
    const row = await this.#store.db
      .selectFrom('leases')
      .select('handle')
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst()
    return row?.handle ?? ''
  }
}

/** What was left of a lease, or was seen again, is gone. */
function cleanedEvent(lease: LeaseRow): AuditEvent {
  const { grant_id: grant, target, handle } = lease
  return { event: 'lease.cleaned', principal: null, grant, target, handle }
}
