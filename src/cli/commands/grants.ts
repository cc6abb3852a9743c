import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
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
    .description('list live grants, and requests that wait')
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
  const grants = await client.grants(options.all ? 'all' : 'mine')
  if (options.json) {
    deps.io.out(JSON.stringify({ grants }))
  } else if (grants.length === 0) {
    deps.io.note('no live grants, and no request that waits')
  } else {
    const { grantTable } = await import('../grant-text.ts')
    for (const line of grantTable(grants, {
      now: deps.clock.now(),
      columns: deps.io.outColumns,
    }))
      deps.io.out(line)
  }
  return 0
}
