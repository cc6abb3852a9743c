import { toTimestamp } from '../../lib/clock.ts'
import type { EndedBy } from '../../protocol/grant.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { AuditLog } from '../audit.ts'
import type { BrokerConfig } from '../config/config.ts'
import { GRANT, LEASE } from '../grant-state.ts'
import type { Outbox } from '../outbox.ts'
import type { LeaseRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'
import { checkAgentAsks } from './agent-limits.ts'
import { announce } from './announce.ts'
import {
  type DecidedRequest,
  grantRow,
  type LeaseTarget,
  requestedEvent,
} from './decided-request.ts'
import { type LeaseTransitions, MINT_MARGIN_MS, type MintedLease } from './lease-transitions.ts'
import { checkDenials, checkLiveGrants, checkSession, checkWaiting } from './limits.ts'
import { principalOf } from './rows.ts'

/** What an ended grant was ended by, and what is known of it. */
export interface Ending {
  readonly by: EndedBy
  /** For the client, where more can be said than by what. */
  readonly reason?: string
  /** For the audit log: the command's outcome, who revoked. */
  readonly detail?: Readonly<Record<string, unknown>>
  /** Who ended it, where that isn't the grant's own principal. */
  readonly actor?: Principal
}

/** What both ledgers write with. */
export interface LedgerParts {
  readonly store: Store
  readonly audit: AuditLog
  readonly leases: LeaseTransitions
  readonly outbox: Outbox
}

/** A power cut may take it back: then the secret before the last works for one resume more. */
const NOT_DURABLE = { durable: false }

/**
 * The one writer of grants. Each change of state is a compare-and-set and commits together with
 * its audit entry; who loses the race is told so.
 */
export class GrantLedger {
  readonly #store: Store
  readonly #audit: AuditLog
  readonly #leases: LeaseTransitions
  readonly #outbox: Outbox

  constructor(parts: LedgerParts) {
    this.#store = parts.store
    this.#audit = parts.audit
    this.#leases = parts.leases
    this.#outbox = parts.outbox
  }

  /**
   * Records a request with its decision and the intents of its leases: all durable before any
   * credential is created.
   * @param targets where it is to be minted; none when denied
   * @returns the intents
   * @throws JitError `session_ended`, `limit_reached`
   */
  async record(
    request: DecidedRequest,
    targets: readonly LeaseTarget[],
    limits: BrokerConfig['limits'],
  ): Promise<LeaseRow[]> {
    const now = this.#store.now()
    return this.#store.transaction(async (tx) => {
      await checkSession(tx, request.sid)
      const { kind } = request.answer
      if (kind === 'denied') await checkDenials(tx, request, now)
      else if (kind === 'waits') {
        await checkWaiting(tx, request, { limit: limits.grantsPerPrincipal, now })
        await checkAgentAsks(tx, request, { limits, now })
      } else await checkLiveGrants(tx, request.principal, limits.grantsPerPrincipal)
      const row = grantRow(request, now)
      await tx.insertInto('grants').values(row).execute()
      const expiresAt = now + request.ttlSeconds * 1000
      const leases = await this.#leases.intend(tx, {
        grantId: request.id,
        targets,
        now,
        expiresAt,
      })
      await this.#audit.append(tx, requestedEvent(request))
      await announce(tx, { row, outbox: this.#outbox })
      return leases
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
      const lost = await this.#confirmAll(tx, minted)
      if (lost) {
        await this.#leases.revoke(tx, grantId)
        return { outcome: 'ended' }
      }
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

  /** @returns whether any of them lost its race */
  async #confirmAll(tx: Tx, minted: readonly MintedLease[]): Promise<boolean> {
    let lost = false
    for (const one of minted) lost = !(await this.#leases.confirm(tx, one)) || lost
    return lost
  }

  /** Records what was made of a mint that failed as a whole, so that revoking finds it. */
  async known(minted: readonly MintedLease[]): Promise<void> {
    await this.#store.transaction(async (tx) => {
      await this.#confirmAll(tx, minted)
    })
  }

  /**
   * Ends a grant that never became active.
   * @param by who ended it, where that isn't its own principal; `attended`: only one that ends with its connection
   * @returns its leases, now to be revoked; `undefined` when it isn't waiting to become active
   */
  async refuse(
    grantId: string,
    reason: { code: string; message: string },
    { actor, attended = false }: { actor?: Principal | undefined; attended?: boolean } = {},
  ): Promise<LeaseRow[] | undefined> {
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({ state: GRANT.refuse.to, ended_at: this.#store.now() })
        .where('id', '=', grantId)
        .where('state', 'in', GRANT.refuse.from)
        .where('attended', '>=', attended ? 1 : 0)
        .returningAll()
        .executeTakeFirst()
      if (!row) return undefined
      await this.#audit.append(tx, {
        event: 'grant.refused',
        principal: actor ?? principalOf(row),
        grant: grantId,
        reason,
      })
      return this.#leases.revoke(tx, grantId)
    })
  }

  /** Intents that no target may fulfil any more: whoever minted them is gone. @returns them, now to be revoked */
  async overdueIntents(): Promise<LeaseRow[]> {
    const overdue = this.#store.now() - MINT_MARGIN_MS
    return this.#store.transaction(async (tx) =>
      tx
        .updateTable('leases')
        .set({ state: LEASE.revoke.to, next_attempt_at: this.#store.now() })
        .where('state', '=', 'intent')
        .where('mint_by', '<', overdue)
        .returningAll()
        .execute(),
    )
  }

  /** Records that today's policies permit an active grant, for the principal as it is now. */
  async redecided(
    grantId: string,
    { version, principal }: { version: string; principal: Principal },
  ): Promise<void> {
    await this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({ policy_version: version, principal: JSON.stringify(principal) })
        .where('id', '=', grantId)
        .where('state', '=', 'active')
        .returningAll()
        .executeTakeFirst()
      if (!row) return
      await this.#audit.append(tx, {
        event: 'grant.redecided',
        principal,
        grant: grantId,
        groups: principal.groups,
        policy_version: version,
      })
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
    }, NOT_DURABLE)
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
      const expiresAt = row.expires_at ?? now + row.ttl_seconds * 1000
      const intents = await this.#leases.intend(tx, { grantId, targets, now, expiresAt })
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
