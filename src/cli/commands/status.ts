import type { Command } from 'commander'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface StatusOptions {
  readonly json?: boolean
}

export function registerStatus(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('status')
    .description('show my session, my live grants and sandboxes and what waits, with the time left')
    .option('--json', 'print one JSON object')
    .action(async (options: StatusOptions) => exit(await runStatus(options, deps)))
}

export async function runStatus({ json }: StatusOptions, deps: Deps): Promise<number> {
  const { connect } = await import('../connect.ts')
  const { client } = await connect(deps)
  const { readStatus } = await import('../status.ts')
  const { progressOn } = await import('../progress.ts')
  const progress = progressOn(deps, { quiet: json })
  const status = await progress.during('asking the broker', readStatus(client, deps.paths))
  if (json) {
    deps.io.out(JSON.stringify(status))
    return 0
  }
  const { statusLines } = await import('../status-text.ts')
  const { viewOn } = await import('../view.ts')
  for (const line of statusLines(status, { ...viewOn(deps), broker: client.url })) deps.io.out(line)
  return 0
}
