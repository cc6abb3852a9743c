import type { Command } from 'commander'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface ShowOptions {
  readonly id: string
  readonly json?: boolean
}

export function registerShow(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('show')
    .description('show one grant')
    .argument('<id>', 'the grant')
    .option('--json', 'print one JSON object')
    .action(async (id: string, options: { json?: boolean }) =>
      exit(await runShow({ ...options, id }, deps)),
    )
}

/** @throws JitError `not_found` */
export async function runShow({ id, json }: ShowOptions, deps: Deps): Promise<number> {
  const { connect } = await import('../connect.ts')
  const { client } = await connect(deps)
  const { progressOn } = await import('../progress.ts')
  const progress = progressOn(deps, { quiet: json })
  const { grants } = await progress.during('asking the broker', client.grant(id))
  if (json) {
    deps.io.out(JSON.stringify({ grants }))
    return 0
  }
  const { grantLines } = await import('../grant-text.ts')
  const { viewOn } = await import('../view.ts')
  for (const grant of grants) {
    for (const line of grantLines(grant, viewOn(deps))) deps.io.out(line)
  }
  return 0
}
