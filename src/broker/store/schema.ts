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
  audit: { seq: number; at: number; event: string; grant_id: string | null; entry: string }
}

export interface SigningKeyRow {
  kid: string
  purpose: string
  /** PKCS #8, sealed. */
  private_key: string
  public_jwk: string
  created_at: number
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
}
