import { toTimestamp } from '../../lib/clock.ts'
import type { EndedBy } from '../../protocol/grant.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { AuditLog } from '../audit.ts'
import type { BrokerConfig } from '../config/config.ts'
import { GRANT, LEASE } from '../grant-state.ts'
import type { Outbox } from '../outbox.ts'
import { stateOfFound } from '../store/found.ts'
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
import { NOT_HELD } from './line-ledger.ts'
import { isOpen } from './open-leases.ts'
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
  /** Only if its connection is at no node. */
  readonly unheld?: boolean
}

/** What both ledgers write with. */
export interface LedgerParts {
  /** This process, among those over the store. */
  readonly node: string
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
  readonly #node: string

  constructor(parts: LedgerParts) {
    this.#store = parts.store
    this.#node = parts.node
    this.#audit = parts.audit
    this.#leases = parts.leases
    this.#outbox = parts.outbox
  }

  /**
   * Records a request with its decision and the intents of its leases: all durable before any
   * credential is created.
   * @param targets where it is to be minted; none when denied
   * @returns the intents; `undefined` when the same key was recorded meanwhile, by another node
   * @throws JitError `session_ended`, `limit_reached`
   */
  async record(
    request: DecidedRequest,
    targets: readonly LeaseTarget[],
    limits: BrokerConfig['limits'],
  ): Promise<LeaseRow[] | undefined> {
    const now = this.#store.now()
    return this.#store.transaction(async (tx) => {
      if (await isKeyUsed(tx, request)) return undefined
      await checkSession(tx, request.sid)
      const { kind } = request.answer
      if (kind === 'denied') await checkDenials(tx, request, now)
      else if (kind === 'waits') {
        await checkWaiting(tx, request, { limit: limits.grantsPerPrincipal, now })
        await checkAgentAsks(tx, request, { limits, now })
      } else await checkLiveGrants(tx, request.principal, limits.grantsPerPrincipal)
      const row = grantRow(request, now, this.#node)
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
      // Others may hold for the same grant, made for a newer connection: those are not this one's to revoke.
      if (await this.#confirmAll(tx, minted)) return { outcome: 'ended' }
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

  /** A lease as it is once its mint is recorded. */
  asMinted(minted: MintedLease): LeaseRow {
    return { ...minted.lease, ...this.#leases.known(minted) }
  }

  /** Records what was made of a mint that failed as a whole, so that revoking finds it. */
  async known(minted: readonly MintedLease[]): Promise<void> {
    await this.#store.transaction(async (tx) => {
      await this.#confirmAll(tx, minted)
    })
  }

  /**
   * Ends a grant that never became active.
   * @param by who ended it, where that isn't its own principal; `attended`: only one that ends with its
   *   connection; `unheld`: only if that is at no node
   * @returns its leases, now to be revoked; `undefined` when it isn't waiting to become active
   */
  async refuse(
    grantId: string,
    reason: { code: string; message: string },
    {
      actor,
      attended = false,
      unheld = false,
    }: { actor?: Principal | undefined; attended?: boolean; unheld?: boolean } = {},
  ): Promise<LeaseRow[] | undefined> {
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({ state: GRANT.refuse.to, ended_at: this.#store.now(), ...NOT_HELD })
        .where('id', '=', grantId)
        .where('state', 'in', GRANT.refuse.from)
        .where('attended', '>=', attended ? 1 : 0)
        .$if(unheld, (update) => update.where('held_by', 'is', null))
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
    // Looked for first: nobody is kept waiting each second for nothing.
    const found = await this.#store.db
      .selectFrom('leases')
      .select('id')
      .where('state', '=', 'intent')
      .where('mint_by', '<', overdue)
      .where(isOpen)
      .limit(1)
      .executeTakeFirst()
    if (!found) return []
    return this.#store.transaction(async (tx) =>
      tx
        .updateTable('leases')
        .set({
          state: LEASE.revoke.to,
          next_attempt_at: this.#store.now(),
          claimed_by: this.#node,
        })
        .where('state', '=', 'intent')
        .where('mint_by', '<', overdue)
        .where(isOpen)
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
        .set({
          resume_hash: secret.next,
          resume_previous: secret.presented,
          held_by: this.#node,
          grace_until: null,
        })
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

  /**
   * Ends active grants in one transaction; the first to end one wins. Whoever has the resume secret may
   * still learn by it what came of the grant.
   * @returns those that it was this call for, and their leases, now to be revoked
   */
  async end(
    grantIds: readonly string[],
    { by, reason, detail = {}, actor, unheld = false }: Ending,
  ): Promise<{ ended: string[]; leases: LeaseRow[] }> {
    return this.#store.transaction(async (tx) => {
      const rows = await tx
        .updateTable('grants')
        .set({
          state: GRANT.end.to,
          ended_by: by,
          ended_at: this.#store.now(),
          ...NOT_HELD,
        })
        .where('id', 'in', grantIds)
        .where(stateOfFound, 'in', GRANT.end.from)
        .$if(unheld, (update) => update.where('held_by', 'is', null))
        .returningAll()
        .execute()
      if (rows.length === 0) return { ended: [], leases: [] }
      const event = 'grant.ended' as const
      await this.#audit.append(
        tx,
        ...rows.map((row) => ({
          ...detail,
          event,
          principal: actor ?? principalOf(row),
          grant: row.id,
          ended_by: by,
          ...(reason === undefined ? {} : { reason }),
        })),
      )
      const ended = rows.map((row) => row.id)
      return { ended, leases: await this.#leases.revoke(tx, ...ended) }
    })
  }
}

async function isKeyUsed(tx: Tx, { sid, key }: DecidedRequest): Promise<boolean> {
  const row = await tx
    .selectFrom('grants')
    .select('id')
    .where('sid', '=', sid)
    .where('request_key', '=', key)
    .executeTakeFirst()
  return row !== undefined
}
