import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface GrantsOptions {
  readonly mine?: boolean
  readonly all?: boolean
  readonly watch?: boolean
  readonly json?: boolean
}

export function registerGrants(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('grants')
    .description('list live grants, requests that wait, and sandboxes')
    .option('--mine', 'my own (the default)')
    .option('--all', "everyone's, as far as policy lets you see them")
    .option('--watch', 'go on and show what becomes of them, until q or Ctrl-C')
    .option('--json', 'print one JSON object; with --watch one a line, at each change')
    .action(async (options: GrantsOptions) => exit(await runGrants(options, deps)))
}

export async function runGrants(options: GrantsOptions, deps: Deps): Promise<number> {
  if (options.mine && options.all) {
    throw new JitError('usage', '--mine and --all exclude each other')
  }
  const { connect } = await import('../connect.ts')
  const { client } = await connect(deps)
  const { inventory, inventoryLines, NO_GRANTS } = await import('../inventory.ts')
  const scope = options.all ? 'all' : 'mine'
  const json = options.json === true
  if (options.watch) {
    const { watchGrants } = await import('../grants-watch.ts')
    return watchGrants({ client, scope, json, deps })
  }
  const { progressOn } = await import('../progress.ts')
  const progress = progressOn(deps, { quiet: json })
  const found = await progress.during('asking the broker', inventory(client, scope))
  if (json) {
    deps.io.out(JSON.stringify(found))
    return 0
  }
  if (found.grants.length === 0) deps.io.note(NO_GRANTS)
  const { viewOn } = await import('../view.ts')
  for (const line of inventoryLines(found, viewOn(deps))) deps.io.out(line)
  return 0
}
