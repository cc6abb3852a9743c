import { toTimestamp } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import type { Approval } from '../../protocol/approval.ts'
import type {
  Grant,
  GrantContext,
  Lease,
  LeaseReceipt,
  LogPosition,
  Receipt,
} from '../../protocol/grant.ts'
import type { Obligation } from '../../protocol/obligation.ts'
import type { Principal } from '../../protocol/principal.ts'
import { WAITING_STATES } from '../grant-state.ts'
import type { ApprovalRow, GrantRow, LeaseRow } from '../store/schema.ts'

/** A grant with its leases, as the ledger holds them. */
export interface LedgerGrant {
  readonly row: GrantRow
  readonly leases: readonly LeaseRow[]
}

/** Whose grant it is. */
export function principalOf(row: GrantRow): Principal {
  return JSON.parse(row.principal) as Principal
}

/** A lease as clients are shown it. */
function leaseView(row: LeaseRow): Lease {
  const problem = row.problem ?? row.cleanup
  return {
    id: row.id,
    target: row.target,
    type: row.type,
    handle: row.handle,
    delivery: row.delivery,
    state: row.state,
    revocability: row.revocability,
    expires_at: toTimestamp(row.expires_at),
    ...(problem === null ? {} : { problem }),
  }
}

/** A grant as clients are shown it. */
export function grantView({ row, leases }: LedgerGrant): Grant {
  return {
    id: row.id,
    state: row.state,
    principal: principalOf(row),
    environment: row.environment,
    tier: row.tier,
    task: row.task,
    context: JSON.parse(row.context) as GrantContext,
    requested_at: toTimestamp(row.requested_at),
    ...(row.expires_at === null ? {} : { expires_at: toTimestamp(row.expires_at) }),
    ...(row.ended_by === null ? {} : { ended_by: row.ended_by }),
    targets: JSON.parse(row.targets) as string[],
    ...(isWaiting(row) ? waitingView(row) : {}),
    leases: leases.map(leaseView),
  }
}

/** Whether it waits for what policy wants first. */
export function isWaiting(row: GrantRow): boolean {
  return (WAITING_STATES as readonly string[]).includes(row.state)
}

/** A grant that its client has, or that has ended: its key stands for nothing more. */
export function isOver({ row }: LedgerGrant): boolean {
  const open = row.state === 'requested' || row.state === 'active'
  return row.state !== 'denied' && !isWaiting(row) && (!open || row.received === 1)
}

/** What a request waits for. */
export function obligationOf(row: GrantRow): Obligation {
  return row.obligation === null ? { approvals: [] } : (JSON.parse(row.obligation) as Obligation)
}

function waitingView(row: GrantRow) {
  const lapses_at = toTimestamp(row.lapses_at ?? row.requested_at)
  return { obligation: obligationOf(row), lapses_at }
}

/** One person's yes, as clients are shown it. */
export function approvalView({ approver, groups, method, at }: ApprovalRow): Approval {
  const { id, name } = JSON.parse(approver) as Principal
  return { approver: { id, name }, groups: JSON.parse(groups), method, at: toTimestamp(at) }
}

/** What can be said of a lease now: its recorded outcome, or that revoking goes on. */
function leaseReceipt(row: LeaseRow): LeaseReceipt {
  if (row.outcome !== null) return JSON.parse(row.outcome) as LeaseReceipt
  return {
    target: row.target,
    handle: row.handle,
    outcome: 'retrying',
    revocability: row.revocability,
    at: toTimestamp(row.expires_at),
    ...(row.problem === null ? {} : { detail: row.problem }),
  }
}

/**
 * The receipt of a grant that has ended.
 * @throws JitError `grant_ended` for a request that never became one
 */
export function receiptOf({ row, leases }: LedgerGrant, log: LogPosition): Receipt {
  if (row.ended_by === null || row.ended_at === null) {
    throw new JitError('grant_ended', `${row.id} was ${row.state}: there is no receipt`)
  }
  return {
    grant: row.id,
    state: row.state,
    ended_by: row.ended_by,
    ended_at: toTimestamp(row.ended_at),
    leases: leases.map(leaseReceipt),
    log,
  }
}
