import { type ExpressionBuilder, sql } from 'kysely'
import type { Receipt } from '../../protocol/grant.ts'
import type { AuditLog } from '../audit.ts'
import { noSuchGrant } from '../grant-errors.ts'
import { GRANTED_STATES, LIVE_GRANT_STATES, WAITING_STATES } from '../grant-state.ts'
import type { ApprovalRow, GrantRow, LeaseRow, Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { countedApprovals } from './counted-approvals.ts'
import { MINT_MARGIN_MS, MINT_WINDOW_MS } from './lease-transitions.ts'
import { isOpen } from './open-leases.ts'
import { type LedgerGrant, receiptOf } from './rows.ts'

/** How many ids go into one query. */
const BATCH = 500

/** A copilot's id is that of its owner, and what follows a `#`. */
const ofWhom = (id: string) => (eb: ExpressionBuilder<Schema, 'grants'>) =>
  eb.or([
    eb('principal_id', '=', id),
    eb(sql<string>`substr(principal_id, 1, ${id.length + 1})`, '=', `${id}#`),
  ])

/** That the sign-in a request was made on counts no more, of whoever made it or of their owner. */
const isCutOff = (eb: ExpressionBuilder<Schema, 'grants' | 'sessions'>) =>
  eb.exists(
    eb
      .selectFrom('cut_offs')
      .select('cut_offs.principal_id')
      .where('cut_offs.until', '>=', (signIn) =>
        signIn.fn.coalesce('sessions.authenticated_at', 'grants.requested_at'),
      )
      .where((of) =>
        of.or([
          of('cut_offs.principal_id', '=', of.ref('grants.principal_id')),
          sql<boolean>`substr(grants.principal_id, 1, length(cut_offs.principal_id) + 1) = cut_offs.principal_id || '#'`,
        ]),
      ),
  )

/** What the ledger holds; nothing is written here. */
export class LedgerReader {
  readonly #store: Store
  readonly #audit: AuditLog
  readonly #node: string

  constructor(parts: { store: Store; audit: AuditLog; node: string }) {
    this.#store = parts.store
    this.#node = parts.node
    this.#audit = parts.audit
  }

  /** @throws JitError `not_found` */
  async grant(id: string): Promise<LedgerGrant> {
    const [found] = await this.#withLeases(
      await this.#store.db.selectFrom('grants').selectAll().where('id', '=', id).execute(),
    )
    if (!found) throw noSuchGrant(id)
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

  /** Live grants, oldest first; of one principal where named, and of their copilots. */
  async live(of: { principalId?: string } = {}): Promise<LedgerGrant[]> {
    let query = this.#store.db
      .selectFrom('grants')
      .selectAll()
      .where('state', 'in', LIVE_GRANT_STATES)
      .orderBy('id')
    if (of.principalId !== undefined) query = query.where(ofWhom(of.principalId))
    return this.#withLeases(await query.execute())
  }

  /** Requests that wait, oldest first; of one principal where named, and of their copilots. */
  async waiting(of: { principalId?: string } = {}): Promise<LedgerGrant[]> {
    let query = this.#store.db
      .selectFrom('grants')
      .selectAll()
      .where('state', 'in', WAITING_STATES)
      .where('lapses_at', '>', this.#store.now())
      .orderBy('id')
    if (of.principalId !== undefined) query = query.where(ofWhom(of.principalId))
    return this.#withLeases(await query.execute())
  }

  /** Requests that waited too long. */
  async lapsed(): Promise<string[]> {
    const rows = await this.#store.db
      .selectFrom('grants')
      .select('id')
      .where('state', 'in', WAITING_STATES)
      .where('lapses_at', '<=', this.#store.now())
      .execute()
    return rows.map((row) => row.id)
  }

  /** {@link countedApprovals} */
  approvals(grantId: string): Promise<ApprovalRow[]> {
    return countedApprovals(this.#store.db, grantId)
  }

  /** Grants that were begun as emergencies and that nobody has acknowledged. */
  async unacknowledged(): Promise<LedgerGrant[]> {
    const rows = await this.#store.db
      .selectFrom('grants')
      .selectAll()
      .where('break_glass', '=', 1)
      .where('acknowledged_at', 'is', null)
      .where('state', 'in', GRANTED_STATES)
      .orderBy('id')
      .execute()
    return this.#withLeases(rows)
  }

  /** Active grants whose deadline has passed, the longest past first. */
  async expired(limit: number): Promise<string[]> {
    const rows = await this.#store.db
      .selectFrom('grants')
      .select('id')
      .where('state', '=', 'active')
      .where('expires_at', '<=', this.#store.now())
      .orderBy('expires_at')
      .limit(limit)
      .execute()
    return rows.map((row) => row.id)
  }

  /** Grants that are not over although their session is, for at least so many milliseconds. */
  async ofEndedSessions(endedFor = 0): Promise<string[]> {
    const rows = await this.#store.db
      .selectFrom('grants')
      .innerJoin('sessions', 'sessions.sid', 'grants.sid')
      .select('grants.id')
      .where('sessions.ended_at', '<=', this.#store.now() - endedFor)
      .where((eb) =>
        eb.or([
          eb('grants.state', 'in', ['requested', 'active']),
          // A request that was asked ahead outlives its session, unless somebody ended that, or since
          // then the access of whoever asked.
          eb.and([
            eb('grants.state', 'in', WAITING_STATES),
            eb.or([
              eb('grants.attended', '=', 1),
              eb('sessions.ended_by', 'not in', ['idle', 'max-age']),
              isCutOff(eb),
            ]),
          ]),
        ]),
      )
      .execute()
    return rows.map((row) => row.id)
  }

  /**
   * Grants with a live lease at one of these targets that was begun by then: milliseconds since the epoch.
   */
  async begunBy(time: number, targets: readonly string[]): Promise<string[]> {
    if (targets.length === 0) return []
    const rows = await this.#store.db
      .selectFrom('leases')
      .select('grant_id')
      .distinct()
      .where('state', '!=', 'revoked')
      .where('state', 'in', ['intent', 'active'])
      .where('mint_by', '<=', time + MINT_WINDOW_MS)
      .where('target', 'in', targets)
      .execute()
    return rows.map((row) => row.grant_id)
  }

  /** Grants that wait to become active although nothing of theirs is being minted. */
  async orphans(): Promise<string[]> {
    const overdue = this.#store.now() - MINT_MARGIN_MS
    const rows = await this.#store.db
      .selectFrom('grants')
      .select('id')
      .where('state', '=', 'requested')
      .where('requested_at', '<', overdue - MINT_WINDOW_MS)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('leases')
              .select('leases.id')
              .whereRef('leases.grant_id', '=', 'grants.id')
              .where('leases.mint_by', '>=', overdue),
          ),
        ),
      )
      .execute()
    return rows.map((row) => row.id)
  }

  /**
   * Active grants last decided under other policies, or for a principal that was another then, save
   * those whose connection is at another node: that one decides.
   */
  decidedOtherwise(version: string): Promise<GrantRow[]> {
    return this.#store.db
      .selectFrom('grants')
      .innerJoin('sessions', 'sessions.sid', 'grants.sid')
      .selectAll('grants')
      .where('grants.state', '=', 'active')
      .where((eb) =>
        eb.or([eb('grants.held_by', 'is', null), eb('grants.held_by', '=', this.#node)]),
      )
      .where((eb) =>
        eb.or([
          eb('grants.policy_version', '!=', version),
          eb('grants.principal', '!=', eb.ref('sessions.principal')),
        ]),
      )
      .execute()
  }

  /** Handles whose target hasn't confirmed yet, those aside that only wait for their own end. */
  async unrevoked(): Promise<string[]> {
    const rows = await this.#store.db
      .selectFrom('leases')
      .select('handle')
      .where(isOpen)
      .where('outcome', 'is', null)
      .execute()
    return rows.map((row) => row.handle)
  }

  /** The targets that leases not yet revoked were made at, each with what it was then. */
  liveTargets(): Promise<Pick<LeaseRow, 'target' | 'type' | 'target_identity'>[]> {
    return this.#store.db
      .selectFrom('leases')
      .select(['target', 'type', 'target_identity'])
      .distinct()
      .where(isOpen)
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

  /**
   * What is known of an ended grant's leases now, with the log's head.
   * @throws JitError `grant_ended` for a request that never became a grant: it has no receipt
   */
  async receipt(grantId: string): Promise<Receipt> {
    const { seq, hash } = await this.#audit.head()
    return receiptOf(await this.grant(grantId), { seq, hash })
  }

  async #withLeases(rows: readonly GrantRow[]): Promise<LedgerGrant[]> {
    const leases: LeaseRow[] = []
    for (let at = 0; at < rows.length; at += BATCH) {
      const ids = rows.slice(at, at + BATCH).map((row) => row.id)
      const query = this.#store.db.selectFrom('leases').selectAll().orderBy('id')
      leases.push(...(await query.where('grant_id', 'in', ids).execute()))
    }
    const byGrant = Map.groupBy(leases, (lease) => lease.grant_id)
    return rows.map((row) => ({ row, leases: byGrant.get(row.id) ?? [] }))
  }
}
