import * as v from 'valibot'
import { Approval } from './approval.ts'
import { Upstream } from './delivery.ts'
import { EndedBy, Receipt, Revocability } from './grant.ts'
import { Obligation } from './obligation.ts'
import { Problem } from './problem.ts'
import { ClaimedContext, Command, GrantRequest } from './request.ts'
import { Name, Timestamp, text, VariableName } from './values.ts'

/** Close codes of the lifeline (RFC 6455 section 7.4.2, private use). */
export const LIFELINE_CLOSE = {
  /** The grant is over: nothing will follow. */
  done: 4000,
  /** A message that isn't one; nothing of it took effect. */
  badMessage: 4001,
  /** A newer connection took this grant over. */
  replaced: 4002,
  /** The broker is stopping: connect again. */
  restarting: 4003,
  /** More was sent, or less read, than a client has reason to: connect again, later. */
  overrun: 4005,
} as const

/** Seconds between pings, and how many may go unanswered before the line counts as lost. */
export const PING_INTERVAL_SECONDS = 3
export const PINGS_LOST = 3

/** The largest message either side takes, in bytes. */
export const MAX_MESSAGE_BYTES = 256 * 1024

const GrantId = text(64)

/** How the wrapped command ended: a code, or the signal that ended it. */
export const CommandOutcome = v.strictObject({
  code: v.nullable(v.number()),
  signal: v.nullable(text(16)),
})
export type CommandOutcome = v.InferOutput<typeof CommandOutcome>

/** Client to broker. */
export const ClientMessage = v.variant('type', [
  v.strictObject({ type: v.literal('request'), ...GrantRequest.entries }),
  /**
   * Takes a grant over after the connection was lost: by the session's key (the proof of this
   * connection) and the one-time secret of the last `granted` or `resumed`. `received` says
   * whether the credentials arrived; if they did not, new ones are made.
   */
  v.strictObject({
    type: v.literal('resume'),
    grant: GrantId,
    secret: text(128),
    received: v.boolean(),
  }),
  /** Uses a request that was approved: principal, command and context must be what was approved. */
  v.strictObject({
    type: v.literal('redeem'),
    grant: GrantId,
    claimed: ClaimedContext,
    command: Command,
  }),
  /** The person has signed in again, as `pending` wanted: decide once more. */
  v.strictObject({ type: v.literal('continue'), grant: GrantId }),
  /** The pending request is to outlive this connection: the broker closes with `done`. */
  v.strictObject({ type: v.literal('detach'), grant: GrantId }),
  v.strictObject({ type: v.literal('received'), grant: GrantId }),
  /** Where the client stands now: policy decides again in the new context. */
  v.strictObject({ type: v.literal('context'), grant: GrantId, claimed: ClaimedContext }),
  /** More time: answered by `renewed` after a fresh decision, or by a problem. */
  v.strictObject({ type: v.literal('renew'), grant: GrantId }),
  /** The client is about to be stopped by the terminal (Ctrl-Z): hold the grant for a while. */
  v.strictObject({ type: v.literal('suspend'), grant: GrantId }),
  v.strictObject({ type: v.literal('release'), grant: GrantId, outcome: CommandOutcome }),
])
export type ClientMessage = v.InferOutput<typeof ClientMessage>

/** One credential as it is handed over: what the child's environment gets. Never stored, never logged. */
export const DeliveredCredential = v.object({
  lease: v.string(),
  target: Name,
  type: Name,
  handle: v.string(),
  revocability: Revocability,
  expires_at: Timestamp,
  /** Whether its deadline can be moved while a process holds it. */
  renewable: v.boolean(),
  /**
   * Variables to set. With an `upstream` they are templates for whoever opens the proxy to fill:
   * `{{host}}`, `{{port}}`, `{{user}}`, `{{database}}`, `{{url}}` of its port, `{{token}}` for a placeholder.
   */
  env: v.record(VariableName, v.string()),
  /** What is secret in the values of `env`: masked in the command's output. Absent: nothing is. */
  secrets: v.exactOptional(v.array(text(64 * 1024))),
  /** Present when the credential is delivered by a proxy. */
  upstream: v.exactOptional(Upstream),
  /** Variables to remove first, because tools of this kind would prefer them. */
  unset: v.array(VariableName),
})
export type DeliveredCredential = v.InferOutput<typeof DeliveredCredential>

const Handover = {
  grant: GrantId,
  /** One-time; the next `resumed` brings a new one. */
  resume_secret: text(128),
  /** Seconds a lost connection may take to resume. */
  grace: v.number(),
  expires_at: Timestamp,
  /** Empty in `resumed` when the client had received them already. */
  credentials: v.array(DeliveredCredential),
}

/** Broker to client. */
export const ServerMessage = v.variant('type', [
  /** The request as the broker understood it, before it is decided. */
  v.object({
    type: v.literal('requested'),
    grant: GrantId,
    environment: Name,
    tier: v.string(),
    task: Name,
    targets: v.array(Name),
    /** Seconds. */
    ttl: v.number(),
  }),
  /** Policy wants something first; `granted` follows when it is there. */
  v.object({
    type: v.literal('pending'),
    grant: GrantId,
    obligation: Obligation,
    /** The policies that want it. */
    policies: v.array(v.string()),
    lapses_at: Timestamp,
  }),
  /** Who said yes to a request that waited; `granted` follows. */
  v.object({ type: v.literal('approved'), grant: GrantId, approvals: v.array(Approval) }),
  v.object({ type: v.literal('granted'), ...Handover }),
  v.object({ type: v.literal('resumed'), ...Handover }),
  /** A fresh decision moved the deadline. */
  v.object({ type: v.literal('renewed'), grant: GrantId, expires_at: Timestamp }),
  /** The grant was ended by the broker: stop the child. The receipt follows as `released`. */
  v.object({ type: v.literal('revoked'), grant: GrantId, ended_by: EndedBy, reason: v.string() }),
  v.object({ type: v.literal('released'), grant: GrantId, receipt: Receipt }),
  /** The last message did not succeed; before `granted` there is no grant then. */
  v.object({ type: v.literal('problem'), problem: Problem }),
])
export type ServerMessage = v.InferOutput<typeof ServerMessage>
