import type { Command } from 'commander'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface PromptOptions {
  readonly format: string
  readonly json?: boolean
}

export function registerPrompt(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('prompt')
    .description('print the live grants of this machine as one line, for a prompt')
    .option(
      '--format <format>',
      "plain, ansi, or a template: '{environment}:{task} {left}'",
      'plain',
    )
    .option('--json', 'print one JSON object')
    .action(async (options: PromptOptions) => exit(await runPrompt(options, deps)))
}

/** Nothing is printed where there is nothing to show. */
export async function runPrompt(options: PromptOptions, deps: Deps): Promise<number> {
  const { env, io } = deps
  const now = deps.clock.now()
  if (options.json) {
    const { heldGrants } = await import('../../shell/prompt-grants.ts')
    const grants = heldGrants({ env, now })
    const shown = grants.map(({ left: _, expires, agent, ...grant }) => ({
      ...grant,
      ...(agent === undefined ? {} : { agent }),
      expires_at: new Date(expires * 1000).toISOString(),
    }))
    io.out(JSON.stringify({ grants: shown }))
    return 0
  }
  const { promptNow } = await import('../prompt-now.ts')
  const line = promptNow(options.format, { env, now })
  if (line) io.out(line)
  return 0
}
