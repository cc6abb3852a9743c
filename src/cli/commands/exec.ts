import type { Command } from 'commander'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface ExecOptions {
  readonly profile?: string
  readonly env?: string
  readonly task?: string
  readonly target?: readonly string[]
  readonly ttl?: string
  readonly reason?: string
  readonly ticket?: string
  readonly label?: readonly string[]
  readonly minTtl?: string
  readonly receipt?: string
  readonly quiet?: boolean
  readonly json?: boolean
  /** What follows `--`. */
  readonly command: readonly string[]
}

const append = (value: string, before: readonly string[] = []) => [...before, value]

/** @param words what follows `--` on the command line */
export function registerExec(
  program: Command,
  deps: Deps,
  { exit, words }: { exit: Exit; words: readonly string[] },
): void {
  program
    .command('exec')
    .description('run a command with just the access its task needs, for as long as it runs')
    .usage('[PROFILE] [options] -- COMMAND [ARGUMENT]…')
    .argument('[profile]', 'a profile of the .jit.yaml here')
    .option('--env <environment>', 'environment to work in')
    .option('--task <task>', 'what is to be done')
    .option('--target <target>', 'only this target; may be repeated', append)
    .option('--ttl <duration>', 'for how long at most, such as 15m')
    .option('--reason <text>', 'why, for the record and for approvers')
    .option('--ticket <id>', 'the ticket it belongs to')
    .option('--label <name=value>', 'a label that the broker declares; may be repeated', append)
    .option('--min-ttl <duration>', 'refuse to start with less time left')
    .option('--receipt <file>', 'write the receipt there, as JSON')
    .option('-q, --quiet', 'say nothing unless something fails')
    .option('--json', 'errors as JSON, and nothing else of its own')
    .action(async (profile: string | undefined, options: Omit<ExecOptions, 'command'>) => {
      const asked = { ...options, ...(profile === undefined ? {} : { profile }), command: words }
      exit(await runExec(asked, deps))
    })
}

/**
 * Asks for a grant, runs the command on it and gives it back.
 * @returns the command's exit code; when a signal ended it, this process ends by the same signal
 * @throws JitError whatever keeps the command from starting
 */
export async function runExec(options: ExecOptions, deps: Deps): Promise<number> {
  const { elevate } = await import('../elevation.ts')
  return elevate(options, deps)
}
