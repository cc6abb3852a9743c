import type { Command } from 'commander'
import type { WhoAmI } from '../../protocol/principal.ts'
import type { Deps } from '../deps.ts'

export interface WhoamiOptions {
  readonly agent?: string
  readonly json?: boolean
}

export function registerWhoami(program: Command, deps: Deps, exit: (code: number) => void): void {
  program
    .command('whoami')
    .description('say who you are to the broker')
    .option('--agent <name>', 'what this copilot is, instead of you')
    .option('--json', 'print one JSON object')
    .action(async (options: WhoamiOptions) => exit(await runWhoami(options, deps)))
}

/** Asks the broker who it takes this machine's user for. */
export async function runWhoami(options: WhoamiOptions, deps: Deps): Promise<number> {
  const { actingAs } = await import('../agent.ts')
  const { connect } = await import('../connect.ts')
  const { client } = await connect(actingAs(deps, options.agent), { tells: !options.json })
  const answer = await client.whoami()
  if (options.json) {
    deps.io.out(JSON.stringify(answer))
    return 0
  }
  const { escapeForDisplay } = await import('../../lib/escape.ts')
  const { untilText } = await import('../receipt-text.ts')
  const { ceilingLines } = await import('../ceiling-text.ts')
  const until = `session ${untilText(answer.session_expires_at, deps.clock.now())}`
  for (const line of [...describe(answer), until, ...ceilingLines(answer.ceiling ?? {})])
    deps.io.out(escapeForDisplay(line))
  return 0
}

function describe({ principal, broker, signed }: WhoAmI): string[] {
  const { kind, id, name, groups, owner, triggered_by } = principal
  return [
    `${name} (${kind}${owner ? `, for ${owner}` : ''}, ${id})`,
    ...(groups.length > 0 ? [`groups: ${groups.join(', ')}`] : []),
    ...(signed?.repository ? [`runs: ${signed.repository}@${signed.branch || signed.commit}`] : []),
    ...(triggered_by ? [`set off by: ${triggered_by}`] : []),
    `broker: ${broker}`,
  ]
}
