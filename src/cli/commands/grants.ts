import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
import type { Grant } from '../../protocol/grant.ts'
import type { Sandbox } from '../../protocol/sandbox.ts'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface GrantsOptions {
  readonly mine?: boolean
  readonly all?: boolean
  readonly json?: boolean
}

export function registerGrants(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('grants')
    .description('list live grants, requests that wait, and sandboxes')
    .option('--mine', 'my own (the default)')
    .option('--all', "everyone's, as far as policy lets you see them")
    .option('--json', 'print one JSON object')
    .action(async (options: GrantsOptions) => exit(await runGrants(options, deps)))
}

export async function runGrants(options: GrantsOptions, deps: Deps): Promise<number> {
  if (options.mine && options.all) {
    throw new JitError('usage', '--mine and --all exclude each other')
  }
  const { connect } = await import('../connect.ts')
  const { client } = await connect(deps)
  const { sandboxesOf } = await import('../sandbox-text.ts')
  const scope = options.all ? 'all' : 'mine'
  const [grants, sandboxes] = await Promise.all([client.grants(scope), sandboxesOf(client, scope)])
  if (options.json) deps.io.out(JSON.stringify({ grants, sandboxes }))
  else await print({ grants, sandboxes }, deps)
  return 0
}

async function print(
  { grants, sandboxes }: { grants: readonly Grant[]; sandboxes: readonly Sandbox[] },
  { io, clock }: Deps,
): Promise<void> {
  const { grantTable } = await import('../grant-text.ts')
  const { sandboxLines } = await import('../sandbox-text.ts')
  const view = { now: clock.now(), columns: io.outColumns }
  if (grants.length === 0) io.note('no live grants, and no request that waits')
  else for (const line of grantTable(grants, view)) io.out(line)
  for (const line of sandboxLines(sandboxes, { ...view, grants })) io.out(line)
}
