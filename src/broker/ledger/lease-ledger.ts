import { sql } from 'kysely'
import type { LeaseReceipt } from '../../protocol/grant.ts'
import type { AuditEvent, AuditLog } from '../audit.ts'
import { GRANT, LEASE } from '../grant-state.ts'
import type { Seal } from '../seal.ts'
import { stateOfFound } from '../store/found.ts'
import type { LeaseRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'
import { principalOf } from './rows.ts'
import { Together } from './together.ts'

/** How many revoked leases are recorded in one transaction. */
const SETTLED_AT_ONCE = 100

/** A lease of which nothing is left. */
interface Settled {
  readonly lease: LeaseRow
  readonly receipt: LeaseReceipt
}

/** What the undo value of a lease is sealed for. */
export const undoSealedAs = (lease: string) => `undo:${lease}`

/** The one writer of leases that are being revoked, and where those that are due are found. */
export class LeaseLedger {
  readonly #store: Store
  readonly #audit: AuditLog
  readonly #seal: Seal
  readonly #node: string
  readonly #settling = new Together<Settled>(SETTLED_AT_ONCE, (all) => this.#settleAll(all))

  constructor(parts: { store: Store; audit: AuditLog; seal: Seal; node: string }) {
    this.#store = parts.store
    this.#node = parts.node
    this.#audit = parts.audit
    this.#seal = parts.seal
  }

  /**
   * Records what an attempt to revoke achieved for good, unless its mint became known meanwhile: then it is due
   * again. `cleanup` names what is harmless and still there: it is tried again at `again`.
   */
  async settle(
    lease: LeaseRow,
    settled: { receipt: LeaseReceipt; cleanup?: { what: string; again: number } },
  ): Promise<void> {
    if (lease.state === 'revoking' && !settled.cleanup) {
      return this.#settling.add({ lease, receipt: settled.receipt })
    }
    await this.#store.transaction(async (tx) => {
      const changed = await tx
        .updateTable('leases')
        .set({
          state: LEASE.settle.to,
          outcome: JSON.stringify(settled.receipt),
          problem: null,
          ...(settled.cleanup ? {} : { undo: null }),
          cleanup: settled.cleanup?.what ?? null,
          next_attempt_at: settled.cleanup?.again ?? null,
          attempts: lease.attempts + 1,
          claimed_by: null,
        })
        .where('id', '=', lease.id)
        .where('state', '=', lease.state)
        .where('confirmed', '=', lease.confirmed)
        .executeTakeFirst()
      if (changed.numUpdatedRows === 0n) return
      if (lease.state === 'revoking') await this.#settleGrants(tx, [{ lease, ...settled }])
      else if (!settled.cleanup) await this.#audit.append(tx, cleanedEvent(lease))
    })
  }

  /** Many cost little more than one. */
  async #settleAll(all: readonly Settled[]): Promise<void> {
    const rows = all.map(
      ({ lease, receipt }) =>
        sql`(${lease.id}, ${sql.lit(lease.confirmed)}, ${JSON.stringify(receipt)})`,
    )
    const settled = sql<{
      column1: string
      column2: number
      column3: string
    }>`(VALUES ${sql.join(rows)})`
    await this.#store.transaction(async (tx) => {
      const changed = await tx
        .updateTable('leases')
        .from(settled.as('settled'))
        .set((eb) => ({
          state: LEASE.settle.to,
          outcome: eb.ref('settled.column3'),
          problem: null,
          undo: null,
          cleanup: null,
          next_attempt_at: null,
          attempts: eb('attempts', '+', 1),
          claimed_by: null,
        }))
        .whereRef('id', '=', 'settled.column1')
        .whereRef('confirmed', '=', 'settled.column2')
        .where('state', 'in', LEASE.settle.from)
        .returning('id')
        .execute()
      const ids = new Set(changed.map(({ id }) => id))
      await this.#settleGrants(
        tx,
        all.filter(({ lease }) => ids.has(lease.id)),
      )
    })
  }

  /** Says that leases are revoked, and ends each grant of which it was the last. */
  async #settleGrants(tx: Tx, settled: readonly Settled[]): Promise<void> {
    const grants = [...new Set(settled.map(({ lease }) => lease.grant_id))]
    if (grants.length === 0) return
    const open = tx
      .selectFrom('leases')
      .select('grant_id')
      .where('grant_id', 'in', grants)
      .where('state', '!=', 'revoked')
    const over = await tx
      .updateTable('grants')
      .set({ state: GRANT.settle.to })
      .where('id', 'in', grants)
      .where('id', 'not in', open)
      .where(stateOfFound, 'in', GRANT.settle.from)
      .returningAll()
      .execute()
    await this.#audit.append(
      tx,
      ...settled.map(
        ({ lease, receipt }): AuditEvent => ({
          event: 'lease.revoked',
          principal: null,
          grant: lease.grant_id,
          receipt,
        }),
      ),
      ...over.map(
        (row): AuditEvent => ({
          event: 'grant.revoked',
          principal: principalOf(row),
          grant: row.id,
        }),
      ),
    )
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
          claimed_by: null,
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
    return lease.undo === null ? undefined : this.#seal.open(lease.undo, undoSealedAs(lease.id))
  }

  /**
   * Leases with an attempt due, the longest due first; of several nodes each gets others.
   * @param of one target; or all except those that have enough waiting already: a hung one takes no place from others
   */
  due(
    limit: number,
    of: { readonly only: string } | { readonly except: readonly string[] },
  ): Promise<LeaseRow[]> {
    const { db, shared } = this.#store
    const free = db
      .selectFrom('leases')
      .where('next_attempt_at', '<=', this.#store.now())
      .where((eb) => eb.or([eb('claimed_by', 'is', null), eb('claimed_by', '=', this.#node)]))
      .$if('only' in of, (query) => query.where('target', '=', 'only' in of ? of.only : ''))
      .$if('except' in of && of.except.length > 0, (query) =>
        query.where('target', 'not in', 'except' in of ? of.except : []),
      )
      .orderBy('next_attempt_at')
      .limit(limit)
    if (!shared) return free.selectAll().execute()
    return db
      .updateTable('leases')
      .set({ claimed_by: this.#node })
      .where('id', 'in', free.select('id').forUpdate().skipLocked())
      .returningAll()
      .execute()
  }

  /** Leaves claimed leases, which this node can't try now, to the others. */
  async leave(ids: readonly string[]): Promise<void> {
    await this.#store.db
      .updateTable('leases')
      .set({ claimed_by: null })
      .where('id', 'in', ids)
      .where('claimed_by', '=', this.#node)
      .execute()
  }

  /** Whether another node has the first attempt to revoke some lease of a grant still in hand. */
  async isUntried(grantId: string): Promise<boolean> {
    const row = await this.#store.db
      .selectFrom('leases')
      .select('id')
      .where('grant_id', '=', grantId)
      .where('state', '=', 'revoking')
      .where('attempts', '=', 0)
      .where('claimed_by', '!=', this.#node)
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
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
        .set({ next_attempt_at: this.#store.now(), cleanup: what, claimed_by: this.#node })
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
}

/** What was left of a lease, or was seen again, is gone. */
function cleanedEvent(lease: LeaseRow): AuditEvent {
  const { grant_id: grant, target, handle } = lease
  return { event: 'lease.cleaned', principal: null, grant, target, handle }
}
