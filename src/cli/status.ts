import type { BrokerClient } from '../client/broker.ts'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import type { Paths } from '../lib/paths.ts'
import type { ApprovalRequests } from '../protocol/approval.ts'
import type { GrantState } from '../protocol/grant.ts'
import { heldHere } from './held-here.ts'
import { sandboxesOf } from './sandbox-text.ts'

/** Grants that still do, or may do, something. */
const LIVE: readonly GrantState[] = ['active', 'revoking']
/** Requests that may become grants. */
const WAITING: readonly GrantState[] = ['requested', 'pending', 'approved']

/** What `jit status` says; `--json` prints it as it is. */
export type Status = Awaited<ReturnType<typeof readStatus>>

/** Asks for everything at once. @throws JitError what the broker answers */
export async function readStatus(client: BrokerClient, paths: Paths) {
  const [whoami, known, sandboxes, { requests, unacknowledged }, held] = await Promise.all([
    client.whoami(),
    client.grants('mine'),
    sandboxesOf(client, 'mine'),
    approvalsOf(client),
    heldHere(paths),
  ])
  const { principal, session_expires_at, ceiling } = whoami
  const inState = (states: readonly GrantState[]) =>
    known
      .filter(({ state }) => states.includes(state))
      .sort((a, b) => a.requested_at.localeCompare(b.requested_at))
  const grants = inState(LIVE)
  return {
    principal,
    session_expires_at,
    grants,
    here: grants.map(({ id }) => id).filter((id) => held.has(id)),
    sandboxes,
    pending: inState(WAITING),
    approvals: requests,
    unacknowledged,
    ...(ceiling && { ceiling }),
  }
}

const NOTHING_TO_APPROVE: readonly ErrorCode[] = ['denied', 'not_in_sandbox']

/** Who may approve nothing has nothing that waits. */
async function approvalsOf(client: BrokerClient): Promise<ApprovalRequests> {
  return client.approvals().catch((thrown: unknown) => {
    if (NOTHING_TO_APPROVE.includes(JitError.from(thrown).code))
      return { requests: [], unacknowledged: [] }
    throw thrown
  })
}
