import { toTimestamp } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import type { EndedBy } from '../../protocol/grant.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { AuditLog } from '../audit.ts'
import { GRANT, LIVE_GRANT_STATES } from '../grant-state.ts'
import type { LeaseRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'
import {
  type DecidedRequest,
  grantRow,
  type LeaseTarget,
  requestedEvent,
} from './decided-request.ts'
import type { LeaseTransitions, MintedLease } from './lease-transitions.ts'
import { principalOf } from './rows.ts'

/** What an ended grant was ended by, and what is known of it. */
export interface Ending {
  readonly by: EndedBy
  /** For the audit log: the command's outcome, who revoked. */
  readonly detail?: Readonly<Record<string, unknown>>
  /** Who ended it, where that isn't the grant's own principal. */
  readonly actor?: Principal
}

/**
 * The one writer of grants. Each change of state is a compare-and-set and commits together with
 * its audit entry; who loses the race is told so.
 */
export class GrantLedger {
  readonly #store: Store
  readonly #audit: AuditLog
  readonly #leases: LeaseTransitions

  constructor(parts: { store: Store; audit: AuditLog; leases: LeaseTransitions }) {
    this.#store = parts.store
    this.#audit = parts.audit
    this.#leases = parts.leases
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
        ? await this.#leases.intend(tx, { grantId: request.id, request, now })
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
      for (const one of minted) lost = !(await this.#leases.confirm(tx, one)) || lost
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
        await this.#leases.revoke(tx, grantId)
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

  /** Ends a grant that never became active; what was minted for it is revoked. */
  async refuse(
    grantId: string,
    {
      reason,
      minted,
    }: { reason: { code: string; message: string }; minted: readonly MintedLease[] },
  ): Promise<LeaseRow[]> {
    return this.#store.transaction(async (tx) => {
      for (const one of minted) await this.#leases.confirm(tx, one)
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
      return this.#leases.revoke(tx, grantId)
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
      const retired = await this.#leases.revoke(tx, grantId)
      const intents = await this.#leases.intend(tx, {
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
      return this.#leases.revoke(tx, grantId)
    })
  }
}
