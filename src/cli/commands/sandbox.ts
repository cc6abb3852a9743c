import type { Command } from 'commander'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'
import { append } from '../repeated-flag.ts'

export interface SandboxOptions {
  readonly profile?: string
  readonly agent?: string
  readonly env?: readonly string[]
  readonly task?: readonly string[]
  readonly target?: readonly string[]
  readonly ttl?: string
  readonly quiet?: boolean
  readonly json?: boolean
  /** What follows `--`. */
  readonly command: readonly string[]
}

/** @param words what follows `--` on the command line */
export function registerSandbox(
  program: Command,
  deps: Deps,
  { exit, words }: { exit: Exit; words: readonly string[] },
): void {
  program
    .command('sandbox')
    .description('run a copilot where it can ask for access, and reach nothing else')
    .usage('[options] -- COMMAND [ARGUMENT]…')
    .option(
      '--profile <name>',
      'a profile of config.yaml (default: the one named like the command)',
    )
    .option('--agent <name>', 'what the copilot is called (default: like the command)')
    .option('--env <environment>', 'it may ask for this environment alone; may be repeated', append)
    .option('--task <task>', 'only for this task; may be repeated', append)
    .option('--target <target>', 'only for this target; may be repeated', append)
    .option('--ttl <duration>', 'for how long at most, such as 1h')
    .option('-q, --quiet', 'say nothing unless something fails')
    .option('--json', 'errors as JSON, and nothing else of its own')
    .action(async (options: Omit<SandboxOptions, 'command'>) =>
      exit(await runSandbox({ ...options, command: words }, deps)),
    )
}

/**
 * Runs a command in a sandbox with the session of an agent, which stays outside.
 * @returns the command's exit code; when a signal ended it, this process ends by the same signal
 * @throws JitError whatever keeps the command from starting
 */
export async function runSandbox(options: SandboxOptions, deps: Deps): Promise<number> {
  const { sandbox } = await import('../sandbox.ts')
  return sandbox(options, deps)
}
