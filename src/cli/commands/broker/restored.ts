import type { Command } from 'commander'
import type { Deps } from '../../deps.ts'
import { EXIT } from '../../exit-codes.ts'
import type { Exit } from '../../program.ts'
import { confirm, type OperatorOptions, operate, takesConfig } from './operated.ts'

interface RestoredOptions extends OperatorOptions {
  readonly yes?: boolean
  readonly json?: boolean
}

export function registerRestored(broker: Command, deps: Deps, exit: Exit): void {
  takesConfig(broker.command('restored'))
    .description('after a backup was put in place of the store: end every session in it')
    .option('--yes', "don't ask")
    .option('--json', 'print one JSON object')
    .action(async (_: unknown, command: Command) =>
      exit(await runRestored(command.optsWithGlobals(), deps)),
    )
}

/** A session that somebody ended after the backup was made is open in it: nobody can tell which. */
export async function runRestored(options: RestoredOptions, deps: Deps): Promise<number> {
  deps.io.note('everybody signs in anew; every grant in the backup ends and is revoked')
  await confirm('Was this store restored from a backup?', options, deps)
  const { sessions } = await operate(options, deps, (operations) => operations.restored())
  if (options.json) deps.io.out(JSON.stringify({ sessions }))
  else deps.io.out(`${sessions} ${sessions === 1 ? 'session' : 'sessions'} ended`)
  return EXIT.ok
}
