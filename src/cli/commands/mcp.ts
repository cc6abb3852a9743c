import type { Command } from 'commander'
import { actingAs } from '../agent.ts'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface McpOptions {
  readonly agent?: string
}

export function registerMcp(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('mcp')
    .description('serve a copilot on stdin and stdout (Model Context Protocol)')
    .option('--agent <name>', "what the copilot is; absent: by the client's name")
    .action(async (options: McpOptions) => exit(await runMcp(options, deps)))
}

/**
 * Serves one MCP client until it goes away.
 * @throws JitError `usage`
 */
export async function runMcp({ agent }: McpOptions, deps: Deps): Promise<number> {
  const { serveMcp } = await import('../mcp/serve.ts')
  return serveMcp(actingAs(deps, agent))
}
