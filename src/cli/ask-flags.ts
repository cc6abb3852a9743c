import type { Command } from 'commander'
import { append } from './repeated-flag.ts'

/** What is asked for, as flags and profile name it. */
export interface AskOptions {
  readonly profile?: string
  readonly env?: string
  readonly task?: string
  readonly target?: readonly string[]
  readonly ttl?: string
  readonly reason?: string
  readonly ticket?: string
  readonly label?: readonly string[]
  readonly breakGlass?: boolean
  readonly deliver?: string
  /** Ask for nothing. */
  readonly dryRun?: boolean
  /** What follows `--`. */
  readonly command: readonly string[]
}

/** What each command that asks for a grant is told, before flags of its own. */
export function askFlags(command: Command): Command {
  return command
    .usage('[PROFILE] [options] -- COMMAND [ARGUMENT]…')
    .argument('[profile]', 'a profile of the .jit.yaml here')
    .option('--env <environment>', 'environment to work in')
    .option('--task <task>', 'what is to be done')
    .option('--target <target>', 'only this target; may be repeated', append)
    .option('--ttl <duration>', 'for how long, such as 15m; then it is renewed or ends')
    .option('--reason <text>', 'why, for the record and for approvers')
    .option('--ticket <id>', 'the ticket it belongs to')
    .option('--label <name=value>', 'a label that the broker declares; may be repeated', append)
    .option(
      '--deliver <how>',
      'env: credentials in the environment; proxy: used for the command, which never holds them',
    )
    .option('--dry-run', 'ask for nothing: say what would be asked, answered and set')
    .option('--break-glass', 'an emergency: approvers are told, and somebody has to acknowledge it')
}
