import { toTimestamp } from '../../lib/clock.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { ClaimedContext } from '../../protocol/request.ts'
import type { AuditLog } from '../audit.ts'
import type { TargetDecision } from '../decider.ts'
import type { GrantRow, LeaseRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'
import { principalOf } from './rows.ts'

/** A deadline that is to be moved, as policy permits it now. Times are milliseconds since the epoch. */
export interface Renewal {
  readonly grant: string
  readonly from: number
  readonly to: number
  readonly principal: Principal
  readonly policyVersion: string
  readonly decisions: readonly TargetDecision[]
  /** Where the client had said it stands when it was decided: `claimed_told` of then. */
  readonly told: string | null
}

/** Where a client stands now, and whether policy permits its grant there. */
export interface Move {
  readonly claimed: ClaimedContext
  readonly permitted: boolean
  readonly policyVersion: string
  readonly decisions: readonly TargetDecision[]
}

/**
 * The one writer of deadlines that move, and of where a grant's client stands. Leases get the later
 * deadline before a target is told of it, the grant only after all targets have it: at no step does
 * the ledger think a credential dead that isn't, or a grant longer than its credentials.
 */
export class RenewalLedger {
  readonly #store: Store
  readonly #audit: AuditLog

  constructor(parts: { store: Store; audit: AuditLog }) {
    this.#store = parts.store
    this.#audit = parts.audit
  }

  /**
   * Records that the deadline is about to be moved.
   * @returns the leases to move; `undefined` when the grant is over, or was moved meanwhile
   */
  async intend(renewal: Renewal): Promise<LeaseRow[] | undefined> {
    const { grant, from, to, principal, policyVersion, decisions } = renewal
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .selectFrom('grants')
        .select('id')
        .where('id', '=', grant)
        .where('state', '=', 'active')
        .where('expires_at', '=', from)
        .executeTakeFirst()
      if (!row) return undefined
      await this.#audit.append(tx, {
        event: 'grant.renewing',
        principal,
        grant,
        ...span(renewal),
        policy_version: policyVersion,
        decisions,
      })
      return tx
        .updateTable('leases')
        .set({ expires_at: to })
        .where('grant_id', '=', grant)
        .where('state', '=', 'active')
        .returningAll()
        .execute()
    })
  }

  /** Every target has the new deadline: so has the grant. @returns `false` when it is over */
  async confirm(renewal: Renewal): Promise<boolean> {
    const { grant, from, to, principal, policyVersion, told } = renewal
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({
          expires_at: to,
          principal: JSON.stringify(principal),
          policy_version: policyVersion,
        })
        .where('id', '=', grant)
        .where('state', '=', 'active')
        .where('expires_at', '=', from)
        .returningAll()
        .executeTakeFirst()
      if (!row) return false
      // What was told while the targets were at it is decided for itself.
      if (row.claimed_told === told) await decided(tx, grant, told)
      await this.#audit.append(tx, { event: 'grant.renewed', principal, grant, ...span(renewal) })
      return true
    })
  }

  /**
   * A target couldn't move it, and nothing is renewed.
   * @param back leases whose target has the former deadline for certain; the others keep the later one
   */
  async abandon(
    renewal: Renewal,
    { back, reason }: { back: readonly LeaseRow[]; reason: { code: string; message: string } },
  ): Promise<void> {
    const { grant, from, principal } = renewal
    await this.#store.transaction(async (tx) => {
      for (const { id } of back) {
        await tx.updateTable('leases').set({ expires_at: from }).where('id', '=', id).execute()
      }
      await this.#audit.append(tx, {
        event: 'grant.renewal_failed',
        principal,
        grant,
        ...span(renewal),
        reason,
      })
    })
  }

  /** Records that policy doesn't permit more time. */
  async denied(
    row: GrantRow,
    denial: {
      principal: Principal
      policyVersion: string
      decisions: readonly TargetDecision[]
      message: string
    },
  ): Promise<void> {
    const { principal, policyVersion, decisions, message } = denial
    await this.#store.transaction(async (tx) => {
      await this.#audit.append(tx, {
        event: 'grant.renewal_denied',
        principal,
        grant: row.id,
        ...(row.expires_at === null ? {} : { expires_at: toTimestamp(row.expires_at) }),
        policy_version: policyVersion,
        decisions,
        reason: { code: 'denied', message },
      })
    })
  }

  /** Records where the client of an active grant stands now, and whether policy permits it there. */
  async moved(grant: string, move: Move): Promise<void> {
    const { claimed, permitted, policyVersion, decisions } = move
    const told = JSON.stringify(claimed)
    await this.#store.transaction(async (tx: Tx) => {
      const row = await tx
        .updateTable('grants')
        .set({ claimed_told: told, ...(permitted ? { claimed_decided: told } : {}) })
        .where('id', '=', grant)
        .where('state', '=', 'active')
        .returningAll()
        .executeTakeFirst()
      if (!row) return
      await this.#audit.append(tx, {
        event: 'grant.context_changed',
        principal: principalOf(row),
        grant,
        claimed,
        permitted,
        policy_version: policyVersion,
        decisions,
      })
    })
  }
}

/** Policy has permitted the grant where its client said that it stands. */
async function decided(tx: Tx, grant: string, told: string | null): Promise<void> {
  await tx.updateTable('grants').set({ claimed_decided: told }).where('id', '=', grant).execute()
}

function span({ from, to }: Renewal) {
  return { before: toTimestamp(from), expires_at: toTimestamp(to) }
}
