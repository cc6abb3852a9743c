import type { Command } from 'commander'
import type { Grant, GrantState } from '../../protocol/grant.ts'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface StatusOptions {
  readonly json?: boolean
}

/** Grants that still do, or may do, something. */
const LIVE: readonly GrantState[] = ['active', 'revoking']

export function registerStatus(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('status')
    .description('show my session and my live grants, with the time left')
    .option('--json', 'print one JSON object')
    .action(async (options: StatusOptions) => exit(await runStatus(options, deps)))
}

export async function runStatus(options: StatusOptions, deps: Deps): Promise<number> {
  const { connect } = await import('../connect.ts')
  const { client } = await connect(deps)
  const [{ principal, session_expires_at }, known] = await Promise.all([
    client.whoami(),
    client.grants('mine'),
  ])
  const inState = (states: readonly GrantState[]) =>
    known
      .filter(({ state }) => states.includes(state))
      .sort((a, b) => a.requested_at.localeCompare(b.requested_at))
  const grants = inState(LIVE)
  if (options.json) {
    const status = {
      principal,
      session_expires_at,
      grants,
      pending: inState(['requested']),
      approvals: [],
    }
    deps.io.out(JSON.stringify(status))
    return 0
  }
  const { escapeForDisplay } = await import('../../lib/escape.ts')
  const { formatDuration } = await import('../../lib/duration.ts')
  const left = formatDuration((Date.parse(session_expires_at) - deps.clock.now()) / 1000)
  deps.io.out(
    `signed in at ${client.url} as ${escapeForDisplay(principal.name)} for another ${left}`,
  )
  await printGrants(grants, deps)
  return 0
}

async function printGrants(grants: readonly Grant[], { io, clock }: Deps): Promise<void> {
  if (grants.length === 0) {
    io.out('no live grants')
    return
  }
  const { grantTable } = await import('../grant-text.ts')
  for (const line of grantTable(grants, { now: clock.now(), columns: io.outColumns })) io.out(line)
}
