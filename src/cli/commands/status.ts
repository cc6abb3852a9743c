import type { Command } from 'commander'
import type { BrokerClient } from '../../client/broker.ts'
import { type ErrorCode, JitError } from '../../lib/errors.ts'
import type { ApprovalRequests } from '../../protocol/approval.ts'
import type { Grant, GrantState } from '../../protocol/grant.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface StatusOptions {
  readonly json?: boolean
}

/** Grants that still do, or may do, something. */
const LIVE: readonly GrantState[] = ['active', 'revoking']
/** Requests that may become grants. */
const WAITING: readonly GrantState[] = ['requested', 'pending', 'approved']

export function registerStatus(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('status')
    .description('show my session, my live grants and sandboxes and what waits, with the time left')
    .option('--json', 'print one JSON object')
    .action(async (options: StatusOptions) => exit(await runStatus(options, deps)))
}

export async function runStatus(options: StatusOptions, deps: Deps): Promise<number> {
  const { connect } = await import('../connect.ts')
  const { client } = await connect(deps)
  const { sandboxesOf, sandboxLines } = await import('../sandbox-text.ts')
  const [whoami, known, sandboxes, { requests, unacknowledged }] = await Promise.all([
    client.whoami(),
    client.grants('mine'),
    sandboxesOf(client, 'mine'),
    approvalsOf(client),
  ])
  const { principal, session_expires_at, ceiling } = whoami
  const inState = (states: readonly GrantState[]) =>
    known
      .filter(({ state }) => states.includes(state))
      .sort((a, b) => a.requested_at.localeCompare(b.requested_at))
  const grants = inState(LIVE)
  const pending = inState(WAITING)
  if (options.json) {
    const status = { principal, session_expires_at, grants, sandboxes, pending }
    const others = { approvals: requests, unacknowledged, ...(ceiling && { ceiling }) }
    deps.io.out(JSON.stringify({ ...status, ...others }))
    return 0
  }
  const { escapeForDisplay } = await import('../../lib/escape.ts')
  const { formatDuration } = await import('../../lib/duration.ts')
  const left = formatDuration((Date.parse(session_expires_at) - deps.clock.now()) / 1000)
  deps.io.out(
    `signed in at ${client.url} as ${escapeForDisplay(nameOf(principal))} for another ${left}`,
  )
  const { ceilingLines } = await import('../ceiling-text.ts')
  for (const line of ceilingLines(ceiling ?? {})) deps.io.out(escapeForDisplay(line))
  if (grants.length === 0) deps.io.out('no live grants')
  await printGrants(grants, { title: '', deps })
  const view = { grants, now: deps.clock.now(), columns: deps.io.outColumns }
  for (const line of sandboxLines(sandboxes, view)) deps.io.out(line)
  const asked = counted(pending.length, 'request of mine', 'requests of mine')
  await printGrants(pending, { title: `${asked}; once approved: jit exec --grant ID -- …`, deps })
  await printApprovals(requests, deps)
  const broken = counted(unacknowledged.length, 'broken glass', 'broken glasses')
  await printGrants(unacknowledged, { title: `${broken} to look into: jit acknowledge`, deps })
  return 0
}

function nameOf({ kind, name, owner }: Principal): string {
  return kind === 'human' ? name : `${name} (${kind}${owner === undefined ? '' : ` of ${owner}`})`
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

const counted = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`

async function printGrants(
  grants: readonly Grant[],
  { title, deps }: { title: string; deps: Deps },
): Promise<void> {
  if (grants.length === 0) return
  const { io, clock } = deps
  const { grantTable } = await import('../grant-text.ts')
  const table = grantTable(grants, { now: clock.now(), columns: io.outColumns })
  for (const line of [...(title && ['', title]), ...table]) io.out(line)
}

async function printApprovals(
  requests: ApprovalRequests['requests'],
  { io, clock }: Deps,
): Promise<void> {
  if (requests.length === 0) return
  const { approvalTable } = await import('../approval-text.ts')
  const waits = counted(requests.length, 'request waits', 'requests wait')
  const table = approvalTable(requests, { now: clock.now(), columns: io.outColumns })
  for (const line of ['', `${waits} for me: jit approve`, ...table]) io.out(line)
}
