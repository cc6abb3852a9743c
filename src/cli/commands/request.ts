import type { Command } from 'commander'
import { type AskOptions, askFlags } from '../ask-flags.ts'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface RequestOptions extends AskOptions {
  readonly wait?: boolean
  readonly json?: boolean
}

/** @param words what follows `--` on the command line */
export function registerRequest(
  program: Command,
  deps: Deps,
  { exit, words }: { exit: Exit; words: readonly string[] },
): void {
  const command = program
    .command('request')
    .description('ask ahead of time for what jit exec --grant uses later')
  askFlags(command)
    .option('--wait', 'until it is approved')
    .option('--json', 'print one JSON object')
    .action(async (profile: string | undefined, options: Omit<RequestOptions, 'command'>) => {
      const asked = { ...options, ...(profile === undefined ? {} : { profile }), command: words }
      exit(await runRequest(asked, deps))
    })
}

/**
 * Asks, and prints the id.
 * @throws JitError `usage`, `denied`, `insufficient_user_authentication`; with `--wait` also
 *   `approval_denied`, `request_lapsed`, `cancelled`
 */
export async function runRequest(options: RequestOptions, deps: Deps): Promise<number> {
  if (options.dryRun) {
    const { tryOut } = await import('../dry-run.ts')
    return tryOut(options, { verb: 'jit request', mask: 'auto' }, deps)
  }
  const { askAhead } = await import('../asking-ahead.ts')
  return askAhead(options, deps)
}
