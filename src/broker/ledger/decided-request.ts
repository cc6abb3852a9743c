import { toTimestamp } from '../../lib/clock.ts'
import type { Deliveries, Delivery } from '../../protocol/delivery.ts'
import type { GrantContext, GrantState } from '../../protocol/grant.ts'
import type { Obligation } from '../../protocol/obligation.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { Target } from '../../targets/target.ts'
import type { AuditEvent } from '../audit.ts'
import type { TargetDecision } from '../decider.ts'
import type { ResolvedRequest } from '../requests.ts'
import type { Session } from '../sessions.ts'
import type { GrantRow } from '../store/schema.ts'

/** What policy said to a request. */
export type Answer =
  | { readonly kind: 'permitted' }
  /** `outside`: what of it is above the session's ceiling, in words. */
  | { readonly kind: 'denied'; readonly outside?: string }
  | ({ readonly kind: 'waits' } & Waiting)

/** What a request waits for, and how. Times are milliseconds since the epoch. */
export interface Waiting {
  readonly obligation: Obligation
  /** Ids of the policies that want it. */
  readonly wantedBy: readonly string[]
  readonly lapsesAt: number
  /** Whether it ends with the connection that asked. */
  readonly attended: boolean
}

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
  readonly answer: Answer
  /** Their names. */
  readonly targets: readonly string[]
  readonly deliveries: Deliveries
}

/** A request of a session, with what policy said to it. */
export function decidedRequest(
  session: Pick<Session, 'sid' | 'principal'>,
  asked: { id: string; key: string; request: ResolvedRequest },
  said: Answer & { decisions: readonly TargetDecision[]; policyVersion: string },
): DecidedRequest {
  const { members, ...request } = asked.request
  return {
    ...request,
    id: asked.id,
    key: asked.key,
    sid: session.sid,
    principal: session.principal,
    answer: said,
    policyVersion: said.policyVersion,
    decisions: said.decisions,
    targets: members.map(({ target }) => target.name),
  }
}

/** Where a lease is to be minted. */
export interface LeaseTarget {
  readonly target: Target
  readonly identity: string
  readonly delivery: Delivery
}

/** A new grant as the ledger keeps it, with its connection at `node` if it has one. */
export function grantRow(request: DecidedRequest, now: number, node: string): GrantRow {
  const { answer } = request
  const waiting = answer.kind === 'waits' ? answer : undefined
  return {
    id: request.id,
    sid: request.sid,
    principal: JSON.stringify(request.principal),
    asked_by: JSON.stringify(request.principal),
    principal_kind: request.principal.kind,
    principal_id: request.principal.id,
    request_key: request.key,
    request_hash: request.hash,
    environment: request.environment,
    tier: request.tier,
    task: request.task,
    targets: JSON.stringify(request.targets),
    deliveries: JSON.stringify(request.deliveries),
    ttl_seconds: request.ttlSeconds,
    context: JSON.stringify(request.context),
    policy_version: request.policyVersion,
    state: stateOf(answer),
    requested_at: now,
    lapses_at: waiting?.lapsesAt ?? null,
    obligation: waiting ? JSON.stringify(waiting.obligation) : null,
    wanted_by: waiting ? JSON.stringify(waiting.wantedBy) : null,
    break_glass: request.context.break_glass ? 1 : 0,
    acknowledged_at: null,
    attended: waiting?.attended === false ? 0 : 1,
    expires_at: null,
    resume_hash: null,
    resume_previous: null,
    received: 0,
    claimed_told: null,
    claimed_decided: null,
    ended_by: null,
    ended_at: answer.kind === 'denied' ? now : null,
    held_by: answer.kind === 'denied' || waiting?.attended === false ? null : node,
    grace_until: null,
  }
}

function stateOf(answer: Answer): GrantState {
  if (answer.kind === 'permitted') return 'requested'
  if (answer.kind === 'denied') return 'denied'
  return waitingState(answer)
}

/** What only wants a sign-in may be used: whoever uses it signs in then. */
export function waitingState({
  obligation,
  attended,
}: Pick<Waiting, 'obligation' | 'attended'>): 'pending' | 'approved' {
  return attended || obligation.approvals.length > 0 ? 'pending' : 'approved'
}

const EVENTS = {
  permitted: 'grant.permitted',
  denied: 'grant.denied',
  waits: 'grant.pending',
} as const

/** How the audit log tells of it. */
export function requestedEvent(request: DecidedRequest): AuditEvent {
  const { answer } = request
  return {
    event: EVENTS[answer.kind],
    principal: request.principal,
    grant: request.id,
    environment: request.environment,
    task: request.task,
    targets: request.targets,
    ttl: request.ttlSeconds,
    context: request.context,
    policy_version: request.policyVersion,
    decisions: request.decisions,
    ...(answer.kind === 'waits'
      ? { obligation: answer.obligation, lapses_at: toTimestamp(answer.lapsesAt) }
      : {}),
    ...(answer.kind === 'denied' && answer.outside ? { outside: answer.outside } : {}),
    ...(request.context.break_glass ? { break_glass: true } : {}),
  }
}
