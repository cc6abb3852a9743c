import { JitError } from '../../lib/errors.ts'
import type { Receipt } from '../../protocol/grant.ts'
import type { AuditLog } from '../audit.ts'
import { LIVE_GRANT_STATES } from '../grant-state.ts'
import type { GrantRow, LeaseRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { type LedgerGrant, receiptOf } from './rows.ts'

/** What the ledger holds; nothing is written here. */
export class LedgerReader {
  readonly #store: Store
  readonly #audit: AuditLog

  constructor(parts: { store: Store; audit: AuditLog }) {
    this.#store = parts.store
    this.#audit = parts.audit
  }

  /** @throws JitError `not_found` */
  async grant(id: string): Promise<LedgerGrant> {
    const [found] = await this.#withLeases(
      await this.#store.db.selectFrom('grants').selectAll().where('id', '=', id).execute(),
    )
    if (!found) throw new JitError('not_found', `there is no grant ${id}`)
    return found
  }

  async grantByKey(sid: string, key: string): Promise<LedgerGrant | undefined> {
    const rows = await this.#store.db
      .selectFrom('grants')
      .selectAll()
      .where('sid', '=', sid)
      .where('request_key', '=', key)
      .execute()
    const [found] = await this.#withLeases(rows)
    return found
  }

  /** Live grants, oldest first; of one principal or session where named. */
  async live(
    of: { principalId?: string; sid?: string; state?: 'active' } = {},
  ): Promise<LedgerGrant[]> {
    let query = this.#store.db
      .selectFrom('grants')
      .selectAll()
      .where('state', 'in', of.state ? [of.state] : LIVE_GRANT_STATES)
      .orderBy('id')
    if (of.principalId !== undefined) query = query.where('principal_id', '=', of.principalId)
    if (of.sid !== undefined) query = query.where('sid', '=', of.sid)
    return this.#withLeases(await query.execute())
  }

  /** Active grants whose deadline has passed. */
  async expired(): Promise<string[]> {
    const rows = await this.#store.db
      .selectFrom('grants')
      .select('id')
      .where('state', '=', 'active')
      .where('expires_at', '<=', this.#store.now())
      .execute()
    return rows.map((row) => row.id)
  }

  /** The targets that leases not yet revoked were made at, each with what it was then. */
  liveTargets(): Promise<Pick<LeaseRow, 'target' | 'type' | 'target_identity'>[]> {
    return this.#store.db
      .selectFrom('leases')
      .select(['target', 'type', 'target_identity'])
      .distinct()
      .where('state', '!=', 'revoked')
      .execute()
  }

  /** Whether a handle's credential counts: its lease and its grant are both active. */
  async isActive(handle: string): Promise<boolean> {
    const row = await this.#store.db
      .selectFrom('leases')
      .innerJoin('grants', 'grants.id', 'leases.grant_id')
      .select('leases.id')
      .where('handle', '=', handle)
      .where('leases.state', '=', 'active')
      .where('grants.state', '=', 'active')
      .where('leases.expires_at', '>', this.#store.now())
      .executeTakeFirst()
    return row !== undefined
  }

  /** Of all leases with something wrong, for those who watch over it. */
  async stuck(): Promise<number> {
    const { count } = await this.#store.db
      .selectFrom('leases')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('problem', 'is not', null)
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  /** What is known of an ended grant's leases now, with the log's head. */
  async receipt(grantId: string): Promise<Receipt> {
    const { seq, hash } = await this.#audit.head()
    return receiptOf(await this.grant(grantId), { seq, hash })
  }

  async #withLeases(rows: readonly GrantRow[]): Promise<LedgerGrant[]> {
    if (rows.length === 0) return []
    const leases = await this.#store.db
      .selectFrom('leases')
      .selectAll()
      .where(
        'grant_id',
        'in',
        rows.map((row) => row.id),
      )
      .orderBy('id')
      .execute()
    return rows.map((row) => ({
      row,
      leases: leases.filter((lease) => lease.grant_id === row.id),
    }))
  }
}
