import * as v from 'valibot'
import { Delivery } from './delivery.ts'
import { Obligation } from './obligation.ts'
import { Principal } from './principal.ts'
import { ClaimedContext, Command } from './request.ts'
import { Name, Timestamp, text } from './values.ts'

/** What revoking really does at a target. */
export const Revocability = v.picklist(['hard', 'policy-deny', 'identity-disable', 'ttl-only'])
export type Revocability = v.InferOutput<typeof Revocability>

export const GrantState = v.picklist([
  'requested',
  'denied',
  'pending',
  'approved',
  'refused',
  'active',
  'revoking',
  'revoked',
])
export type GrantState = v.InferOutput<typeof GrantState>

export const LeaseState = v.picklist(['intent', 'active', 'revoking', 'revoked'])
export type LeaseState = v.InferOutput<typeof LeaseState>

/** What ended a grant: the first of these wins. */
export const EndedBy = v.picklist([
  'exit',
  'ttl',
  'lifeline',
  'revoked',
  'context',
  'policy',
  'session',
])
export type EndedBy = v.InferOutput<typeof EndedBy>

export const Lease = v.object({
  id: v.string(),
  target: Name,
  type: Name,
  handle: v.string(),
  /** How it reaches the command. */
  delivery: Delivery,
  state: LeaseState,
  revocability: Revocability,
  expires_at: Timestamp,
  /** Why a revocation hasn't been confirmed yet. */
  problem: v.exactOptional(v.string()),
})
export type Lease = v.InferOutput<typeof Lease>

/** Context with its provenance: what an issuer signed on top, what the client said under `claimed`. */
export const GrantContext = v.object({
  repository: v.string(),
  branch: v.string(),
  commit: v.string(),
  claimed: ClaimedContext,
  command: Command,
  reason: v.string(),
  break_glass: v.optional(v.boolean(), false),
  ticket: v.string(),
  labels: v.record(v.string(), v.union([v.string(), v.boolean(), v.number()])),
})
export type GrantContext = v.InferOutput<typeof GrantContext>

export const Grant = v.object({
  id: v.string(),
  state: GrantState,
  principal: Principal,
  environment: Name,
  tier: text(64),
  task: Name,
  context: GrantContext,
  requested_at: Timestamp,
  /** The deadline; absent until the grant is active. */
  expires_at: v.exactOptional(Timestamp),
  ended_by: v.exactOptional(EndedBy),
  /** What was asked for: there is no lease yet while it waits. */
  targets: v.exactOptional(v.array(Name)),
  /** Of a request that waits: what for, and when it lapses. */
  obligation: v.exactOptional(Obligation),
  lapses_at: v.exactOptional(Timestamp),
  leases: v.array(Lease),
})
export type Grant = v.InferOutput<typeof Grant>

/** `GET /v1/grants`, `GET /v1/grants/{id}` */
export const Grants = v.object({ grants: v.array(Grant) })
export type Grants = v.InferOutput<typeof Grants>

/** A place in the audit log: whoever holds one can tell a log that was cut short or exchanged. */
export const LogPosition = v.object({ seq: v.number(), hash: v.string() })
export type LogPosition = v.InferOutput<typeof LogPosition>

/**
 * What happened to one credential: `revoked` only where the target refuses it now; `denied_until`
 * and `expires_at` say when (`at`) it stops by itself; `retrying`: not confirmed yet.
 */
export const LeaseOutcome = v.picklist(['revoked', 'denied_until', 'expires_at', 'retrying'])
export type LeaseOutcome = v.InferOutput<typeof LeaseOutcome>

export const LeaseReceipt = v.object({
  target: Name,
  handle: v.string(),
  outcome: LeaseOutcome,
  revocability: Revocability,
  /** When it was revoked, or until when it may still work. */
  at: Timestamp,
  detail: v.exactOptional(v.string()),
})
export type LeaseReceipt = v.InferOutput<typeof LeaseReceipt>

/** What really happened to each lease at the end of a grant. */
export const Receipt = v.object({
  grant: v.string(),
  state: GrantState,
  ended_by: EndedBy,
  ended_at: Timestamp,
  leases: v.array(LeaseReceipt),
  log: LogPosition,
})
export type Receipt = v.InferOutput<typeof Receipt>

/** `POST /v1/grants/{id}/revoke` of a request that waited: nothing was minted, so there is no receipt. */
export const Withdrawal = v.object({ grant: v.string(), state: GrantState })
export type Withdrawal = v.InferOutput<typeof Withdrawal>

/** `POST /v1/revoke` */
export const Receipts = v.object({
  receipts: v.array(Receipt),
  /** Requests that waited. */
  withdrawn: v.array(Withdrawal),
  /** How many sessions ended. */
  sessions: v.number(),
  /** Ids of those whose sign-ins until now count no more. */
  cut_off: v.array(v.string()),
})
export type Receipts = v.InferOutput<typeof Receipts>
