import type { GrantContext } from '../../protocol/grant.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { Target } from '../../targets/target.ts'
import type { AuditEvent } from '../audit.ts'
import type { TargetDecision } from '../decider.ts'
import type { GrantRow } from '../store/schema.ts'

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
  /** The answer for each target. */
  readonly decisions: readonly TargetDecision[]
  readonly permitted: boolean
  /** Their names. */
  readonly targets: readonly string[]
}

/** Where a lease is to be minted. */
export interface LeaseTarget {
  readonly target: Target
  readonly identity: string
}

/** A new grant as the ledger keeps it. */
export function grantRow(request: DecidedRequest, now: number): GrantRow {
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
    targets: JSON.stringify(request.targets),
    ttl_seconds: request.ttlSeconds,
    context: JSON.stringify(request.context),
    policy_version: request.policyVersion,
    state: request.permitted ? 'requested' : 'denied',
    requested_at: now,
    lapses_at: null,
    obligation: null,
    wanted_by: null,
    attended: 1,
    expires_at: null,
    resume_hash: null,
    resume_previous: null,
    received: 0,
    ended_by: null,
    ended_at: request.permitted ? null : now,
  }
}

/** How the audit log tells of it. */
export function requestedEvent(request: DecidedRequest): AuditEvent {
  return {
    event: request.permitted ? 'grant.permitted' : 'grant.denied',
    principal: request.principal,
    grant: request.id,
    environment: request.environment,
    task: request.task,
    targets: request.targets,
    ttl: request.ttlSeconds,
    context: request.context,
    policy_version: request.policyVersion,
    decisions: request.decisions,
  }
}
