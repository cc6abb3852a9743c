import type { Command } from 'commander'
import { JitError } from '../../../lib/errors.ts'
import type { Deps } from '../../deps.ts'
import { EXIT } from '../../exit-codes.ts'
import type { Exit } from '../../program.ts'
import { confirm, type OperatorOptions, operate, takesConfig } from './operated.ts'

interface AdoptOptions extends OperatorOptions {
  readonly all?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export function registerAdopt(broker: Command, deps: Deps, exit: Exit): void {
  takesConfig(broker.command('adopt'))
    .description('revoke credentials in quarantine: the broker that made them is gone')
    .argument('[handle...]', 'which of them')
    .option('--all', 'all that are in quarantine now')
    .option('--yes', "don't ask")
    .option('--json', 'print one JSON object')
    .action(async (handles: string[], _: unknown, command: Command) =>
      exit(await runAdopt(handles, command.optsWithGlobals(), deps)),
    )
}

/** @throws JitError `usage`, `not_found` */
export async function runAdopt(
  named: readonly string[],
  options: AdoptOptions,
  deps: Deps,
): Promise<number> {
  if (named.length > 0 === (options.all ?? false)) {
    throw new JitError('usage', 'expected handles, or --all', {
      hint: "'jit broker quarantine' lists them",
    })
  }
  const adopted = await operate(options, deps, async ({ quarantine, operator }) => {
    const open = (await quarantine.open()).map(({ handle }) => handle)
    const unknown = named.find((handle) => !open.includes(handle))
    if (unknown !== undefined) {
      throw new JitError('not_found', `${unknown} is not in quarantine`)
    }
    const handles = options.all ? open : named
    if (handles.length === 0) return []
    deps.io.note('whoever made them must be gone: a broker at work would lose what it granted')
    await confirm(`Revoke ${handles.length} in quarantine?`, options, deps)
    return quarantine.adopt(handles, operator)
  })
  const handles = adopted.map(({ handle }) => handle)
  if (options.json) deps.io.out(JSON.stringify({ adopted: handles }))
  else deps.io.out(`${handles.length} adopted: the broker revokes them when it runs`)
  return EXIT.ok
}
