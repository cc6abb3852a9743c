import type { Command } from 'commander'
import type { WhoAmI } from '../../protocol/principal.ts'
import type { Deps } from '../deps.ts'

export interface WhoamiOptions {
  readonly json?: boolean
}

export function registerWhoami(program: Command, deps: Deps, exit: (code: number) => void): void {
  program
    .command('whoami')
    .description('say who you are to the broker')
    .option('--json', 'print one JSON object')
    .action(async (options: WhoamiOptions) => exit(await runWhoami(options, deps)))
}

/** Asks the broker who it takes this machine's user for. */
export async function runWhoami(options: WhoamiOptions, deps: Deps): Promise<number> {
  const { connect } = await import('../connect.ts')
  const { client } = await connect(deps)
  const answer = await client.whoami()
  if (options.json) {
    const { principal, broker, session_expires_at } = answer
    deps.io.out(JSON.stringify({ principal, broker, session_expires_at }))
    return 0
  }
  const { escapeForDisplay } = await import('../../lib/escape.ts')
  for (const line of describe(answer)) deps.io.out(escapeForDisplay(line))
  return 0
}

function describe({ principal, broker, session_expires_at }: WhoAmI): string[] {
  const { kind, id, name, groups, owner } = principal
  return [
    `${name} (${kind}${owner ? `, for ${owner}` : ''}, ${id})`,
    ...(groups.length > 0 ? [`groups: ${groups.join(', ')}`] : []),
    `broker: ${broker}`,
    `session until: ${session_expires_at}`,
  ]
}
