import { randomInt } from 'node:crypto'
import { toTimestamp } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import { leaseHandle, newId } from '../../lib/handle.ts'
import type { EndedBy, GrantContext, LeaseReceipt, Receipt } from '../../protocol/grant.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { Minted, Target } from '../../targets/target.ts'
import type { AuditEvent, AuditLog } from '../audit.ts'
import { GRANT, LEASE, LIVE_GRANT_STATES } from '../grant-state.ts'
import type { Seal } from '../seal.ts'
import type { GrantRow, LeaseRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'
import { type LedgerGrant, receiptOf } from './rows.ts'

/** How long a target may take to create a credential, in milliseconds: past it, it must refuse. */
export const MINT_WINDOW_MS = 20_000

/** A request that policy has answered. */
export interface DecidedRequest {
  readonly id: string
  readonly sid: string
  readonly principal: Principal
  readonly key: string
  readonly hash: string
  readonly environment: string
  readonly tier: string
  readonly task: string
  readonly ttlSeconds: number
  readonly context: GrantContext
  readonly policyVersion: string
  /** For the audit log: the answer for each target. */
  readonly decision: unknown
  readonly permitted: boolean
  readonly targets: readonly LeaseTarget[]
}

/** Where a lease is to be minted. */
export interface LeaseTarget {
  readonly target: Target
  readonly identity: string
}

/** A credential that a target made for an intent. */
export interface MintedLease {
  readonly lease: LeaseRow
  readonly minted: Minted
}

/** What an ended grant was ended by, and what is known of it. */
export interface Ending {
  readonly by: EndedBy
  /** For the audit log: the command's outcome, who revoked. */
  readonly detail?: Readonly<Record<string, unknown>>
  /** Who ended it, where that isn't the grant's own principal. */
  readonly actor?: Principal
}

const ID_LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

async function ledgerId(store: Store): Promise<string> {
  const value = Array.from({ length: 5 }, () => ID_LETTERS[randomInt(ID_LETTERS.length)]).join('')
  await store.db
    .insertInto('meta')
    .values({ key: 'ledger_id', value })
    .onConflict((conflict) => conflict.column('key').doNothing())
    .execute()
  const row = await store.db
    .selectFrom('meta')
    .select('value')
    .where('key', '=', 'ledger_id')
    .executeTakeFirstOrThrow()
  return row.value
}

const principalOf = (row: GrantRow) => JSON.parse(row.principal) as Principal

/**
 * The one writer of grants and leases. Each change of state is a compare-and-set and commits
 * together with its audit entry; who loses the race is told so.
 */
export class Ledger {
  readonly id: string
  readonly #store: Store
  readonly #audit: AuditLog
  readonly #seal: Seal

  private constructor(id: string, parts: { store: Store; audit: AuditLog; seal: Seal }) {
    this.id = id
    this.#store = parts.store
    this.#audit = parts.audit
    this.#seal = parts.seal
  }

  /** Opens the ledger; its id is drawn when it is first opened. */
  static async open(parts: { store: Store; audit: AuditLog; seal: Seal }): Promise<Ledger> {
    return new Ledger(await ledgerId(parts.store), parts)
  }

  /**
   * Records a request with its decision and, if permitted, the intents of its leases: all durable
   * before any credential is created.
   * @returns the intents; none when denied
   * @throws JitError `limit_reached` when the principal holds `limit` live grants already
   */
  async record(request: DecidedRequest, limit: number): Promise<LeaseRow[]> {
    const now = this.#store.now()
    return this.#store.transaction(async (tx) => {
      if (request.permitted) await this.#checkLimit(tx, request.principal, limit)
      await tx.insertInto('grants').values(grantRow(request, now)).execute()
      const leases = request.permitted
        ? await this.#insertIntents(tx, { grantId: request.id, request, now })
        : []
      await this.#audit.append(tx, requestedEvent(request))
      return leases
    })
  }

  async #checkLimit(tx: Tx, principal: Principal, limit: number): Promise<void> {
    const { live } = await tx
      .selectFrom('grants')
      .select((eb) => eb.fn.countAll<number>().as('live'))
      .where('principal_id', '=', principal.id)
      .where('principal_kind', '=', principal.kind)
      .where('state', 'in', LIVE_GRANT_STATES)
      .executeTakeFirstOrThrow()
    if (Number(live) < limit) return
    throw new JitError('limit_reached', `you hold ${live} live grants, and ${limit} is the limit`, {
      hint: 'see `jit grants`, and end some with `jit revoke ID`',
    })
  }

  async #insertIntents(
    tx: Tx,
    intent: {
      grantId: string
      request: Pick<DecidedRequest, 'ttlSeconds' | 'targets'>
      now: number
      expiresAt?: number
    },
  ): Promise<LeaseRow[]> {
    const leases = intent.request.targets.map(({ target, identity }): LeaseRow => {
      const id = newId(intent.now)
      return {
        id,
        grant_id: intent.grantId,
        target: target.name,
        type: target.type,
        handle: leaseHandle(this.id, id),
        state: 'intent',
        revocability: target.revocability,
        target_identity: identity,
        mint_by: intent.now + MINT_WINDOW_MS,
        expires_at: intent.expiresAt ?? intent.now + intent.request.ttlSeconds * 1000,
        confirmed: 0,
        external_id: null,
        undo: null,
        attempts: 0,
        next_attempt_at: null,
        problem: null,
        outcome: null,
        cleanup: null,
      }
    })
    await tx.insertInto('leases').values(leases).execute()
    return leases
  }

  /**
   * Records what was minted, and makes the grant active.
   * @returns `active`, or `ended` when the grant ended meanwhile: its leases are being revoked
   */
  async activate(
    grantId: string,
    { minted, resumeHash }: { minted: readonly MintedLease[]; resumeHash: string },
  ): Promise<{ outcome: 'active'; expiresAt: number } | { outcome: 'ended' }> {
    return this.#store.transaction(async (tx) => {
      let lost = false
      for (const one of minted) lost = !(await this.#confirmLease(tx, one)) || lost
      if (lost) return { outcome: 'ended' }
      const expiresAt = Math.min(...minted.map(({ lease }) => lease.expires_at))
      const updated = await tx
        .updateTable('grants')
        .set({ state: GRANT.activate.to, expires_at: expiresAt, resume_hash: resumeHash })
        .where('id', '=', grantId)
        .where('state', 'in', GRANT.activate.from)
        .returningAll()
        .executeTakeFirst()
      if (!updated) {
        await this.#revokeLeases(tx, grantId)
        return { outcome: 'ended' }
      }
      await this.#audit.append(tx, {
        event: 'grant.granted',
        principal: principalOf(updated),
        grant: grantId,
        expires_at: toTimestamp(expiresAt),
        leases: minted.map(({ lease }) => ({ target: lease.target, handle: lease.handle })),
      })
      return { outcome: 'active', expiresAt }
    })
  }

  /** Intent to active. The loser's credential is kept known, so that revoking finds it. */
  async #confirmLease(tx: Tx, { lease, minted }: MintedLease): Promise<boolean> {
    const known = {
      confirmed: 1,
      external_id: minted.externalId ?? null,
      undo: minted.undo === undefined ? null : this.#seal.seal(minted.undo, `undo:${lease.id}`),
    }
    const confirmed = await tx
      .updateTable('leases')
      .set({ ...known, state: LEASE.confirm.to })
      .where('id', '=', lease.id)
      .where('state', 'in', LEASE.confirm.from)
      .executeTakeFirst()
    if (confirmed.numUpdatedRows > 0n) return true
    await tx
      .updateTable('leases')
      .set({ ...known, state: 'revoking', outcome: null, next_attempt_at: this.#store.now() })
      .where('id', '=', lease.id)
      .execute()
    return false
  }

  /** Ends a grant that never became active; what was minted for it is revoked. */
  async refuse(
    grantId: string,
    {
      reason,
      minted,
    }: { reason: { code: string; message: string }; minted: readonly MintedLease[] },
  ): Promise<LeaseRow[]> {
    return this.#store.transaction(async (tx) => {
      for (const one of minted) await this.#confirmLease(tx, one)
      const row = await tx
        .updateTable('grants')
        .set({ state: GRANT.refuse.to, ended_at: this.#store.now() })
        .where('id', '=', grantId)
        .where('state', 'in', GRANT.refuse.from)
        .returningAll()
        .executeTakeFirst()
      if (!row) return []
      await this.#audit.append(tx, {
        event: 'grant.refused',
        principal: principalOf(row),
        grant: grantId,
        reason,
      })
      return this.#revokeLeases(tx, grantId)
    })
  }

  /** The client has its credentials: from here on they are what a resumed lifeline goes on with. */
  async received(grantId: string): Promise<void> {
    await this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({ received: 1 })
        .where('id', '=', grantId)
        .where('state', '=', 'active')
        .where('received', '=', 0)
        .returningAll()
        .executeTakeFirst()
      if (!row) return
      const event = 'grant.received' as const
      await this.#audit.append(tx, { event, principal: principalOf(row), grant: grantId })
    })
  }

  /**
   * Exchanges the one-time resume secret. The one before works as well until {@link resumeArrived},
   * because the answer with the new one may be lost.
   * @returns `false` when it was none of them, or the grant is over
   */
  async resume(grantId: string, secret: { presented: string; next: string }): Promise<boolean> {
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({ resume_hash: secret.next, resume_previous: secret.presented })
        .where('id', '=', grantId)
        .where('state', '=', 'active')
        .where((eb) =>
          eb.or([
            eb('resume_hash', '=', secret.presented),
            eb('resume_previous', '=', secret.presented),
          ]),
        )
        .returningAll()
        .executeTakeFirst()
      if (!row) return false
      const event = 'grant.resumed' as const
      await this.#audit.append(tx, { event, principal: principalOf(row), grant: grantId })
      return true
    })
  }

  /** The client has the new resume secret: the one before is of no use any more. */
  async resumeArrived(grantId: string): Promise<void> {
    await this.#store.transaction(async (tx) => {
      await tx
        .updateTable('grants')
        .set({ resume_previous: null })
        .where('id', '=', grantId)
        .execute()
    })
  }

  /**
   * New intents for a grant whose credentials never arrived; the undelivered ones are to be revoked.
   * @returns `undefined` when the grant is over, or its credentials did arrive
   */
  async replaceLeases(
    grantId: string,
    targets: readonly LeaseTarget[],
  ): Promise<{ intents: LeaseRow[]; retired: LeaseRow[] } | undefined> {
    const now = this.#store.now()
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .selectFrom('grants')
        .selectAll()
        .where('id', '=', grantId)
        .where('state', 'in', ['requested', 'active'])
        .where('received', '=', 0)
        .executeTakeFirst()
      if (!row) return undefined
      const retired = await this.#revokeLeases(tx, grantId)
      const intents = await this.#insertIntents(tx, {
        grantId,
        request: { ttlSeconds: row.ttl_seconds, targets },
        now,
        ...(row.expires_at === null ? {} : { expiresAt: row.expires_at }),
      })
      await this.#audit.append(tx, {
        event: 'grant.reissued',
        principal: principalOf(row),
        grant: grantId,
        retired: retired.map((lease) => lease.handle),
      })
      return { intents, retired }
    })
  }

  /** Ends an active grant; the first to do so wins. @returns its leases, now to be revoked */
  async end(grantId: string, { by, detail = {}, actor }: Ending): Promise<LeaseRow[] | undefined> {
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({
          state: GRANT.end.to,
          ended_by: by,
          ended_at: this.#store.now(),
          resume_hash: null,
          resume_previous: null,
        })
        .where('id', '=', grantId)
        .where('state', 'in', GRANT.end.from)
        .returningAll()
        .executeTakeFirst()
      if (!row) return undefined
      await this.#audit.append(tx, {
        ...detail,
        event: 'grant.ended',
        principal: actor ?? principalOf(row),
        grant: grantId,
        ended_by: by,
      })
      return this.#revokeLeases(tx, grantId)
    })
  }

  #revokeLeases(tx: Tx, grantId: string): Promise<LeaseRow[]> {
    return tx
      .updateTable('leases')
      .set({ state: LEASE.revoke.to, next_attempt_at: this.#store.now() })
      .where('grant_id', '=', grantId)
      .where('state', 'in', LEASE.revoke.from)
      .returningAll()
      .execute()
  }

  /**
   * Records what an attempt to revoke achieved for good. `cleanup` names what is harmless and still
   * there: it is tried again at `again`.
   */
  async settleLease(
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
      if (changed.numUpdatedRows === 0n || lease.state === 'revoked') return
      await this.#settleGrant(tx, lease, settled.receipt)
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
  async postponeLease(
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

  /** Leases with an attempt due, the longest due first. */
  due(limit: number): Promise<LeaseRow[]> {
    return this.#store.db
      .selectFrom('leases')
      .selectAll()
      .where('next_attempt_at', '<=', this.#store.now())
      .orderBy('next_attempt_at')
      .limit(limit)
      .execute()
  }

  leasesByHandle(handles: readonly string[]): Promise<LeaseRow[]> {
    return this.#store.db.selectFrom('leases').selectAll().where('handle', 'in', handles).execute()
  }

  /** Makes a lease that was thought gone due again: its credential was seen at the target. */
  async reviveLease(lease: LeaseRow): Promise<LeaseRow> {
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

  /** The targets that leases not yet revoked were made at, each with what it was then. */
  liveTargets(): Promise<Pick<LeaseRow, 'target' | 'type' | 'target_identity'>[]> {
    return this.#store.db
      .selectFrom('leases')
      .select(['target', 'type', 'target_identity'])
      .distinct()
      .where('state', '!=', 'revoked')
      .execute()
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

  /** What is known of an ended grant's leases now, with the log's head. */
  async receipt(grantId: string): Promise<Receipt> {
    const { seq, hash } = await this.#audit.head()
    return receiptOf(await this.grant(grantId), { seq, hash })
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
}

function grantRow(request: DecidedRequest, now: number): GrantRow {
  return {
    id: request.id,
    sid: request.sid,
    principal: JSON.stringify(request.principal),
    principal_kind: request.principal.kind,
    principal_id: request.principal.id,
    request_key: request.key,
    request_hash: request.hash,
    environment: request.environment,
    tier: request.tier,
    task: request.task,
    targets: JSON.stringify(request.targets.map(({ target }) => target.name)),
    ttl_seconds: request.ttlSeconds,
    context: JSON.stringify(request.context),
    policy_version: request.policyVersion,
    state: request.permitted ? 'requested' : 'denied',
    requested_at: now,
    expires_at: null,
    resume_hash: null,
    resume_previous: null,
    received: 0,
    ended_by: null,
    ended_at: request.permitted ? null : now,
  }
}

function requestedEvent(request: DecidedRequest): AuditEvent {
  return {
    event: request.permitted ? 'grant.permitted' : 'grant.denied',
    principal: request.principal,
    grant: request.id,
    environment: request.environment,
    task: request.task,
    ttl: request.ttlSeconds,
    context: request.context,
    policy_version: request.policyVersion,
    decision: request.decision,
  }
}
