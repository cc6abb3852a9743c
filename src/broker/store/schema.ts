import type { Delivery } from '../../protocol/delivery.ts'
import type { EndedBy, GrantState, LeaseState, Revocability } from '../../protocol/grant.ts'

/**
 * The ledger's tables. Times are whole milliseconds since the epoch by the store's clock, flags
 * 0 or 1, documents JSON text: what SQLite and PostgreSQL both hold without surprises.
 */
export interface Schema {
  meta: { key: string; value: string }
  signing_keys: SigningKeyRow
  replay: { scope: string; value: string; expires_at: number }
  sessions: SessionRow
  grants: GrantRow
  leases: LeaseRow
  approvals: ApprovalRow
  sandboxes: SandboxRow
  /** Sign-ins that are not newer open no session for this principal, nor for agents of theirs. */
  cut_offs: { principal_id: string; until: number }
  notifications: NotificationRow
  nodes: NodeRow
  /** Every process that served this ledger: when it began, and the last that is known of it. */
  incarnations: { mark: string; started_at: number; alive_at: number }
  quarantine: QuarantineRow
  audit: AuditRow
}

/** A broker process over this store. */
export interface NodeRow {
  id: string
  started_at: number
  /** Until then it is taken for alive. */
  alive_until: number
  /** Of the policies that it decides by. */
  policy_version: string
}

export interface AuditRow {
  seq: number
  at: number
  event: string
  grant_id: string | null
  /** {@link AuditEntry} */
  entry: string
  /** Which node wrote it, for the others to tell. */
  node: string | null
}

export interface SigningKeyRow {
  kid: string
  purpose: string
  /** Counts the keys of a purpose: two brokers that make the next one make it once. */
  generation: number
  /** PKCS #8, sealed; `""` once it signs no more. */
  private_key: string
  public_jwk: string
  created_at: number
  signs_at: number
  /** The longest life of what it may have signed, in milliseconds. */
  longest: number
  /** When it was said that somebody else may have it. */
  withdrawn_at: number | null
}

/** A credential under this ledger's name of which the ledger knows nothing. */
export interface QuarantineRow {
  handle: string
  target: string
  target_identity: string
  minted_at: number
  found_at: number
  /** Made while a process of this ledger ran that knows nothing of it: another broker has the ledger too. */
  forked: number
  /** When the target itself refuses it, where it can tell. */
  deadline: number | null
  /** When an operator said that whoever made it is gone. */
  adopted_at: number | null
  attempts: number
  /** When it is to be looked at; absent: when somebody says so. */
  next_attempt_at: number | null
  problem: string | null
  resolved_at: number | null
}

export interface SessionRow {
  sid: string
  /** {@link Principal} */
  principal: string
  principal_kind: string
  principal_id: string
  issuer: string
  client_id: string
  /** RFC 7638 thumbprint of the DPoP key. */
  jkt: string
  authenticated_at: number | null
  acr: string
  amr: string
  created_at: number
  renewed_at: number
  /** The greatest age. */
  expires_at: number
  ended_at: number | null
  ended_by: string | null
  /** Of the identity token that it lives on, where that may be presented again. */
  token_hash: string | null
  /** What its issuer signed of repository, branch and commit: {@link SignedContext}. */
  signed: string | null
  /** What may be asked for at most: {@link Ceiling}. */
  ceiling: string | null
  /** The session that this one was delegated from, and ends with. */
  parent_sid: string | null
  /** `nonce` of the last sign-in's identity token. */
  nonce: string
}

export interface GrantRow {
  id: string
  sid: string
  /** Whose it is, {@link Principal}, as it was last decided for. */
  principal: string
  /** As the same asked for it: what approvers were shown of them. */
  asked_by: string
  principal_kind: string
  principal_id: string
  request_key: string
  request_hash: string
  environment: string
  tier: string
  task: string
  /** Names, JSON array. */
  targets: string
  /** How each target's credential is to reach the command: {@link Delivery} by name, JSON object. */
  deliveries: string
  ttl_seconds: number
  /** {@link GrantContext} */
  context: string
  policy_version: string
  state: GrantState
  requested_at: number
  /** When a request that waits is over. */
  lapses_at: number | null
  /** What it waits for: {@link Obligation}. */
  obligation: string | null
  /** Ids of the policies that want it, JSON array. */
  wanted_by: string | null
  /** Whether it ends with the connection that asked. */
  attended: number
  /** Whether it was asked for as an emergency, and when somebody saw that. */
  break_glass: number
  acknowledged_at: number | null
  expires_at: number | null
  /** SHA-256 of the one-time resume secret. */
  resume_hash: string | null
  /** The one before it, until the client is known to have the new one. */
  resume_previous: string | null
  /** Whether the client said that the credentials arrived. */
  received: number
  /** Where the client says it stands since, {@link ClaimedContext}; null: where it asked from. */
  claimed_told: string | null
  /** The last of these that policy permitted. */
  claimed_decided: string | null
  ended_by: EndedBy | null
  ended_at: number | null
  /** The node that its connection is at; null: it has none. */
  held_by: string | null
  /** When it ends for want of a connection. */
  grace_until: number | null
}

/** One person's yes to one request. */
export interface ApprovalRow {
  grant_id: string
  approver_id: string
  /** {@link Principal} */
  approver: string
  /** The approver groups it counts for, JSON array. */
  groups: string
  method: 'session' | 'reauth'
  /** Of what was shown: an approval of anything else counts for nothing. */
  subject_hash: string
  /** The approver's sign-in, where their provider says when that was. */
  authenticated_at: number | null
  at: number
}

/** A sandbox that a copilot runs in, or ran in. */
export interface SandboxRow {
  id: string
  /** The agent's session. */
  sid: string
  /** {@link Principal}, as its domains were last decided for. */
  principal: string
  profile: string
  /** {@link Command} */
  command: string
  /** What it may reach, JSON array. */
  domains: string
  /** What it wanted to reach and may not, JSON array. */
  refused: string
  policy_version: string
  started_at: number
  ended_at: number | null
  ended_by: SandboxEnd | null
  /** As of a grant. */
  held_by: string | null
  grace_until: number | null
}

/** What ended a sandbox: its command, the loss of its line, policy, or its session. */
export type SandboxEnd = 'exit' | 'lifeline' | 'policy' | 'session'

/** A message to a webhook of `notify:` that isn't known to have arrived. */
export interface NotificationRow {
  /** `webhook-id`: the same at each attempt. */
  id: string
  /** Its name under `notify:`. */
  hook: string
  kind: 'pending' | 'break_glass'
  grant_id: string
  body: string
  created_at: number
  attempts: number
  next_attempt_at: number
}

export interface LeaseRow {
  id: string
  grant_id: string
  target: string
  type: string
  handle: string
  delivery: Delivery
  state: LeaseState
  revocability: Revocability
  /** What the target was connected to when the intent was written. */
  target_identity: string
  mint_by: number
  expires_at: number
  /** Whether the mint's end was recorded. */
  confirmed: number
  external_id: string | null
  /** Sealed; gone once the revocation is confirmed. */
  undo: string | null
  attempts: number
  /** When the next attempt to revoke is due. */
  next_attempt_at: number | null
  /** Why the last attempt did not succeed. */
  problem: string | null
  /** {@link LeaseReceipt} */
  outcome: string | null
  /** What is left at the target though the credential is dead. */
  cleanup: string | null
  /** The node that has its next attempt in hand; null: any may take it. */
  claimed_by: string | null
}
