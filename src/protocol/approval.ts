import * as v from 'valibot'
import { Delivery } from './delivery.ts'
import { Grant, GrantContext, GrantState } from './grant.ts'
import { Obligation } from './obligation.ts'
import { Principal } from './principal.ts'
import { Name, Timestamp, text } from './values.ts'

/** A target of a request, with what the task gets there. */
export const RequestedTarget = v.object({
  name: Name,
  type: Name,
  sensitivity: v.string(),
  /** Roles or rights: `["migrator"]`. */
  rights: v.array(v.string()),
  /** How its credential reaches the command. */
  delivery: Delivery,
})

/** What an approver is shown, and what an approval is bound to: exactly this. */
export const ApprovalSubject = v.object({
  grant: v.string(),
  /** Its groups aside: they are decided upon, not approved. */
  principal: v.omit(Principal, ['groups']),
  environment: Name,
  tier: v.string(),
  task: Name,
  targets: v.array(RequestedTarget),
  /** Seconds. */
  ttl: v.number(),
  context: GrantContext,
  requested_at: Timestamp,
})
export type ApprovalSubject = v.InferOutput<typeof ApprovalSubject>

/** One person's yes. */
export const Approval = v.object({
  approver: v.object({ id: v.string(), name: v.string() }),
  /** The groups it counts for. */
  groups: v.array(v.string()),
  method: v.picklist(['session', 'reauth']),
  at: Timestamp,
})
export type Approval = v.InferOutput<typeof Approval>

/** `GET /v1/approvals/{id}`: a request that waits, whole. */
export const ApprovalRequest = v.object({
  subject: ApprovalSubject,
  /** SHA-256 (hex) of the subject's canonical JSON (RFC 8785): sent back with the yes. */
  hash: v.string(),
  state: GrantState,
  obligation: Obligation,
  /** The policies that demanded it. */
  policies: v.array(v.object({ id: v.string(), description: v.exactOptional(v.string()) })),
  approvals: v.array(Approval),
  lapses_at: Timestamp,
  /** What the forge says of the commit and branch that the client names, where a forge is configured. */
  forge: v.exactOptional(
    v.object({ commit_on_branch: v.boolean(), branch_protected: v.boolean() }),
  ),
})
export type ApprovalRequest = v.InferOutput<typeof ApprovalRequest>

/** `GET /v1/approvals`: the requests that wait for whoever asks, oldest first. */
export const ApprovalRequests = v.object({
  requests: v.array(ApprovalRequest),
  /** Grants taken by breaking the glass that nobody has acknowledged yet. */
  unacknowledged: v.array(Grant),
})
export type ApprovalRequests = v.InferOutput<typeof ApprovalRequests>

/** `POST /v1/grants/{id}/approve` */
export const ApproveBody = v.strictObject({
  /** Of what was shown. */
  hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 in hex')),
})

/** `POST /v1/grants/{id}/deny` */
export const DenyBody = v.strictObject({ reason: v.optional(text(2000), '') })
