import type { Command } from 'commander'
import { type AskOptions, askFlags } from '../ask-flags.ts'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

const MASK_MODES = ['auto', 'always', 'never'] as const
export type MaskMode = (typeof MASK_MODES)[number]

export interface ExecOptions extends AskOptions {
  /** A duration; `false` for `--no-wait`. */
  readonly wait?: string | false
  /** A request made before. */
  readonly grant?: string
  readonly minTtl?: string
  readonly receipt?: string
  readonly mask: MaskMode
  readonly quiet?: boolean
  readonly json?: boolean
}

/** @param words what follows `--` on the command line */
export function registerExec(
  program: Command,
  deps: Deps,
  { exit, words }: { exit: Exit; words: readonly string[] },
): void {
  const command = program
    .command('exec')
    .description('run a command with just the access its task needs, for as long as it runs')
  askFlags(command)
    .option('--wait <duration>', 'wait for approval no longer than this')
    .option('--no-wait', 'do not wait for approval: leave the request, and say how to go on')
    .option('--grant <id>', 'use a request that was made before')
    .option('--min-ttl <duration>', 'refuse to start with less time left')
    .option('--receipt <file>', 'write the receipt there, as JSON')
    .addOption(
      command
        .createOption('--mask <when>', 'mask secrets in what the command writes')
        .choices(MASK_MODES)
        .default('auto'),
    )
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
 * @throws JitError whatever keeps the command from starting; with `--dry-run` what keeps it from being decided
 */
export async function runExec(options: ExecOptions, deps: Deps): Promise<number> {
  if (options.dryRun) {
    const { tryOut } = await import('../dry-run.ts')
    return tryOut(options, { verb: 'jit exec', mask: options.mask }, deps)
  }
  const { elevate } = await import('../elevation.ts')
  return elevate(options, deps)
}
