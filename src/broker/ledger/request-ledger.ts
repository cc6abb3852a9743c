import type { Obligation } from '../../protocol/obligation.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { AuditEvent, AuditLog } from '../audit.ts'
import type { TargetDecision } from '../decider.ts'
import { GRANT, GRANTED_STATES, WAITING_STATES } from '../grant-state.ts'
import type { Outbox } from '../outbox.ts'
import type { Session } from '../sessions.ts'
import type { ApprovalRow, GrantRow, LeaseRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'
import { announce } from './announce.ts'
import { countedApprovals } from './counted-approvals.ts'
import { type LeaseTarget, type Waiting, waitingState } from './decided-request.ts'
import type { LedgerParts } from './grant-ledger.ts'
import type { LeaseTransitions } from './lease-transitions.ts'
import { checkLiveGrants, checkRepeats, checkSession } from './limits.ts'
import { NOT_HELD } from './line-ledger.ts'
import { obligationOf, principalOf } from './rows.ts'

/** One person's yes, as it is to be recorded. */
export interface NewApproval {
  readonly approver: Principal
  /** The approver groups it counts for. */
  readonly groups: readonly string[]
  readonly method: ApprovalRow['method']
  /** Of what was shown. */
  readonly subjectHash: string
  /** The session that it was given in, and when its person signed in: milliseconds since the epoch. */
  readonly sid: string
  readonly authenticatedAt: number | undefined
}

/** Who uses a request that waited, and what policy says to it now. */
export interface Use {
  readonly sid: string
  readonly principal: Principal
  readonly decisions: readonly TargetDecision[]
  readonly policyVersion: string
  readonly targets: readonly LeaseTarget[]
  /** Ids of those whose approval was decided upon. */
  readonly approvers: readonly string[]
}

/**
 * The one writer of requests that wait: for approvals, for a fresh sign-in. As in the ledger of
 * grants, each change is a compare-and-set and commits with its audit entry.
 */
export class RequestLedger {
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

  /** Records what is wanted now; nothing where that was known. @throws JitError `limit_reached` */
  async want(
    row: GrantRow,
    waiting: Pick<Waiting, 'obligation' | 'wantedBy'>,
    decided: Pick<Use, 'decisions' | 'policyVersion'>,
  ): Promise<void> {
    const obligation = JSON.stringify(waiting.obligation)
    if (obligation === row.obligation) return
    const attended = row.attended === 1
    const state = waitingState({ obligation: waiting.obligation, attended })
    await this.#store.transaction(async (tx) => {
      const wanted_by = JSON.stringify(waiting.wantedBy)
      const updated = await tx
        .updateTable('grants')
        .set({ state, obligation, wanted_by })
        .where('id', '=', row.id)
        .where('state', 'in', GRANT.want.from)
        .returningAll()
        .executeTakeFirst()
      if (!updated) return
      await this.#record(tx, {
        event: 'grant.wanting',
        principal: principalOf(updated),
        grant: row.id,
        obligation: waiting.obligation,
        policy_version: decided.policyVersion,
        decisions: decided.decisions,
      })
      if (obligationOf(row).approvals.length === 0) {
        await announce(tx, { row: updated, outbox: this.#outbox })
      }
    })
  }

  /**
   * Records a yes; the second of the same person counts for nothing. Whether it was the last that
   * was wanted is decided in the same transaction, over all that are recorded.
   * @param wants what is wanted with these approvals: no more than a sign-in makes it `approved`
   * @returns the request afterwards; `undefined` when it doesn't wait for an approval
   * @throws JitError `session_ended`: the approver's may have ended meanwhile; `limit_reached`
   */
  async approve(
    grantId: string,
    approval: NewApproval,
    { lapse, wants }: { lapse: number; wants(approvals: readonly ApprovalRow[]): Obligation },
  ): Promise<GrantRow | undefined> {
    const now = this.#store.now()
    const { approver, method } = approval
    const given = {
      groups: JSON.stringify(approval.groups),
      method,
      subject_hash: approval.subjectHash,
      authenticated_at: approval.authenticatedAt ?? null,
      at: now,
    }
    return this.#store.transaction(async (tx) => {
      await checkSession(tx, approval.sid)
      // An update, because it locks the row: who approves at the same moment is counted after this one.
      const row = await tx
        .updateTable('grants')
        .set({ state: 'pending' })
        .where('id', '=', grantId)
        .where('state', 'in', GRANT.approve.from)
        .where('lapses_at', '>', now)
        .returningAll()
        .executeTakeFirst()
      if (!row) return undefined
      await tx
        .insertInto('approvals')
        .values({
          grant_id: grantId,
          approver_id: approver.id,
          approver: JSON.stringify(approver),
          ...given,
        })
        .onConflict((conflict) => conflict.columns(['grant_id', 'approver_id']).doUpdateSet(given))
        .execute()
      const obligation = wants(await countedApprovals(tx, grantId))
      const enough = obligation.approvals.length === 0
      const state = enough ? GRANT.approve.to : row.state
      const lapses = enough ? { lapses_at: now + lapse * 1000 } : {}
      await this.#record(tx, {
        event: 'grant.approved',
        principal: approver,
        grant: grantId,
        groups: approval.groups,
        method,
        subject_hash: approval.subjectHash,
        enough,
      })
      return tx
        .updateTable('grants')
        .set({ state, obligation: JSON.stringify(obligation), ...lapses })
        .where('id', '=', grantId)
        .returningAll()
        .executeTakeFirstOrThrow()
    })
  }

  /**
   * Begins to mint what waited, once: whoever comes second finds it taken.
   * @returns the intents; `undefined` when it doesn't wait any more, or an approval counts no more
   * @throws JitError `session_ended`, `limit_reached`
   */
  async take(
    grantId: string,
    use: Use,
    limits: { grantsPerPrincipal: number },
  ): Promise<LeaseRow[] | undefined> {
    const now = this.#store.now()
    return this.#store.transaction(async (tx) => {
      await checkSession(tx, use.sid)
      await checkLiveGrants(tx, use.principal, limits.grantsPerPrincipal)
      const approvals = await countedApprovals(tx, grantId)
      const counted = new Set(approvals.map(({ approver_id }) => approver_id))
      if (!use.approvers.every((id) => counted.has(id))) return undefined
      const row = await tx
        .updateTable('grants')
        .set((eb) => ({
          state: GRANT.take.to,
          sid: use.sid,
          // Keys are a session's own: another may have used the same.
          request_key: eb
            .case()
            .when('sid', '=', use.sid)
            .then(eb.ref('request_key'))
            .else(grantId)
            .end(),
          principal: JSON.stringify(use.principal),
          policy_version: use.policyVersion,
          attended: 1,
          held_by: this.#node,
          grace_until: null,
        }))
        .where('id', '=', grantId)
        .where('state', 'in', GRANT.take.from)
        .where('lapses_at', '>', now)
        .returningAll()
        .executeTakeFirst()
      if (!row) return undefined
      const expiresAt = now + row.ttl_seconds * 1000
      const { targets } = use
      const intents = await this.#leases.intend(tx, { grantId, targets, now, expiresAt })
      await this.#audit.append(tx, {
        event: 'grant.permitted',
        principal: use.principal,
        grant: grantId,
        environment: row.environment,
        task: row.task,
        targets: JSON.parse(row.targets),
        ttl: row.ttl_seconds,
        context: JSON.parse(row.context),
        policy_version: use.policyVersion,
        decisions: use.decisions,
        approvals: approvals.map(({ approver_id, subject_hash, method }) => ({
          approver: approver_id,
          method,
          subject_hash,
        })),
        ...(row.break_glass === 1 ? { break_glass: true } : {}),
      })
      await announce(tx, { row, outbox: this.#outbox })
      return intents
    })
  }

  /**
   * Records that somebody may not use a request now, which leaves it as it is.
   * @param detail why: what policy said, or what differs from what was asked for
   * @throws JitError `limit_reached`
   */
  async denied(
    row: GrantRow,
    { session, ...detail }: { session: Pick<Session, 'principal'>; [detail: string]: unknown },
  ): Promise<void> {
    await this.#store.transaction(async (tx) => {
      const { principal } = session
      await this.#record(tx, { ...detail, event: 'grant.denied', principal, grant: row.id })
    })
  }

  /** The request outlives its connection from now on. @returns `false` when it doesn't wait any more */
  async detach(grantId: string): Promise<boolean> {
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({ attended: 0, ...NOT_HELD })
        .where('id', '=', grantId)
        .where('state', 'in', WAITING_STATES)
        .returningAll()
        .executeTakeFirst()
      if (!row) return false
      const event = 'grant.detached' as const
      await this.#record(tx, { event, principal: principalOf(row), grant: grantId })
      return true
    })
  }

  /** Somebody has seen that a grant was an emergency. @returns `false` when somebody had already */
  async acknowledge(grantId: string, by: Principal): Promise<boolean> {
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({ acknowledged_at: this.#store.now() })
        .where('id', '=', grantId)
        .where('break_glass', '=', 1)
        .where('state', 'in', GRANTED_STATES)
        .where('acknowledged_at', 'is', null)
        .returningAll()
        .executeTakeFirst()
      if (!row) return false
      const event = 'grant.acknowledged' as const
      await this.#audit.append(tx, { event, principal: by, grant: grantId, break_glass: true })
      return true
    })
  }

  /** What can be done again and again. @throws JitError `limit_reached`: the log is not theirs to fill */
  async #record(tx: Tx, event: AuditEvent & { grant: string }): Promise<void> {
    await checkRepeats(tx, { ...event, now: this.#store.now() })
    await this.#audit.append(tx, event)
  }
}
