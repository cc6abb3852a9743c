import { toTimestamp } from '../../lib/clock.ts'
import type { AuditEvent, AuditLog } from '../audit.ts'
import type { QuarantineRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

/** A credential that is about to be put into quarantine. */
export type Found = Pick<
  QuarantineRow,
  'handle' | 'target' | 'target_identity' | 'minted_at' | 'forked' | 'deadline'
>

/** The one writer of what this ledger has forgotten, or never knew. */
export class QuarantineLedger {
  readonly #store: Store
  readonly #audit: AuditLog

  constructor(parts: { store: Store; audit: AuditLog }) {
    this.#store = parts.store
    this.#audit = parts.audit
  }

  /**
   * Remembers a credential, once.
   * @param at when its deadline is to be looked at; absent: never
   * @returns whether it is new here
   */
  async take(found: Found, at: number | null): Promise<boolean> {
    return this.#store.transaction(async (tx) => {
      const now = this.#store.now()
      const open = { next_attempt_at: at, attempts: 0, problem: null, resolved_at: null }
      const taken = await tx
        .insertInto('quarantine')
        .values({ ...found, ...open, found_at: now, adopted_at: null })
        .onConflict((conflict) =>
          // One that was thought gone was seen again: whose it is has to be said anew.
          conflict
            .column('handle')
            .doUpdateSet({ ...open, adopted_at: null })
            .where('quarantine.resolved_at', 'is not', null),
        )
        .executeTakeFirst()
      if ((taken.numInsertedOrUpdatedRows ?? 0n) === 0n) return false
      await this.#audit.append(tx, {
        ...eventOf('lease.quarantined', found),
        minted_at: toTimestamp(found.minted_at),
        forked: found.forked === 1,
        ...(found.deadline === null ? {} : { deadline: toTimestamp(found.deadline) }),
      })
      return true
    })
  }

  /** What is in quarantine, oldest first; of one target where named. */
  open(of: { target?: string } = {}): Promise<QuarantineRow[]> {
    const all = this.#store.db
      .selectFrom('quarantine')
      .selectAll()
      .where('resolved_at', 'is', null)
      .orderBy('handle')
    return (of.target === undefined ? all : all.where('target', '=', of.target)).execute()
  }

  /** What is to be looked at now. */
  due(limit: number): Promise<QuarantineRow[]> {
    return this.#store.db
      .selectFrom('quarantine')
      .selectAll()
      .where('resolved_at', 'is', null)
      .where('next_attempt_at', '<=', this.#store.now())
      .orderBy('next_attempt_at')
      .limit(limit)
      .execute()
  }

  /**
   * An operator says that whoever made these is gone: they are to be revoked now.
   * @returns those that were waiting for it
   */
  async adopt(handles: readonly string[], operator: string): Promise<QuarantineRow[]> {
    if (handles.length === 0) return []
    return this.#store.transaction(async (tx) => {
      const now = this.#store.now()
      const rows = await tx
        .updateTable('quarantine')
        .set({ adopted_at: now, next_attempt_at: now })
        .where('handle', 'in', handles)
        .where('resolved_at', 'is', null)
        .where('adopted_at', 'is', null)
        .returningAll()
        .execute()
      const events = rows.map((row) => ({ ...eventOf('lease.adopted', row), operator }))
      if (events.length > 0) await this.#audit.append(tx, ...events)
      return rows
    })
  }

  /** It is no more: `revoked` here, or `gone` by whoever made it. */
  async resolve(row: QuarantineRow, how: 'revoked' | 'gone'): Promise<void> {
    await this.#store.transaction(async (tx) => {
      const resolved = await tx
        .updateTable('quarantine')
        .set({ resolved_at: this.#store.now(), next_attempt_at: null, problem: null })
        .where('handle', '=', row.handle)
        .where('resolved_at', 'is', null)
        .executeTakeFirst()
      if (resolved.numUpdatedRows === 0n) return
      const event = how === 'revoked' ? 'lease.stray_revoked' : 'lease.stray_gone'
      await this.#audit.append(tx, eventOf(event, row))
    })
  }

  /** Looks again later: its deadline was moved, or the target did not answer. */
  async postpone(
    row: QuarantineRow,
    next: { at: number; problem: string | null; deadline?: number },
  ): Promise<void> {
    await this.#store.db
      .updateTable('quarantine')
      .set({
        next_attempt_at: next.at,
        problem: next.problem,
        attempts: next.problem === null ? 0 : row.attempts + 1,
        ...(next.deadline === undefined ? {} : { deadline: next.deadline }),
      })
      .where('handle', '=', row.handle)
      .where('resolved_at', 'is', null)
      // An operator may have said meanwhile that it is due now.
      .where('adopted_at', row.adopted_at === null ? 'is' : '=', row.adopted_at)
      .execute()
  }
}

function eventOf(
  event: `lease.${string}`,
  { target, handle }: Pick<QuarantineRow, 'target' | 'handle'>,
): AuditEvent {
  return { event, principal: null, target, handle }
}
