import { type Command, Option } from 'commander'
import { toTimestamp } from '../../../lib/clock.ts'
import type { Deps } from '../../deps.ts'
import { EXIT } from '../../exit-codes.ts'
import type { Exit } from '../../program.ts'
import { confirm, type OperatorOptions, operate, takesConfig } from './operated.ts'

type NextKey = import('../../../broker/key-rotation.ts').NextKey
type KeyPurpose = NextKey['purpose']

const PURPOSES = ['session', 'grant', 'audit'] as const satisfies readonly KeyPurpose[]

interface RotateKeysOptions extends OperatorOptions {
  readonly purpose?: KeyPurpose
  readonly compromised?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

const WHAT_ENDS: Readonly<Record<KeyPurpose, string>> = {
  session: 'every session ends, and with them every grant',
  grant: 'every grant with a token that a key of these signed ends',
  audit: 'heads of the audit log that were kept elsewhere can not be checked by their signature',
}

export function registerRotateKeys(broker: Command, deps: Deps, exit: Exit): void {
  takesConfig(broker.command('rotate-keys'))
    .description('publish the next signing keys, or withdraw keys that somebody else may have')
    .addOption(
      new Option('--purpose <purpose>', 'only keys of one purpose; all unless given').choices(
        PURPOSES,
      ),
    )
    .option('--compromised', 'new keys sign at once, and nothing the old ones signed counts')
    .option('--yes', "don't ask")
    .option('--json', 'print one JSON object')
    .action(async (_: unknown, command: Command) =>
      exit(await runRotateKeys(command.optsWithGlobals(), deps)),
    )
}

/** The broker need not run; one that does knows within seconds. */
export async function runRotateKeys(options: RotateKeysOptions, deps: Deps): Promise<number> {
  const purposes = options.purpose ? [options.purpose] : PURPOSES
  const { compromised = false } = options
  if (compromised) {
    for (const purpose of purposes) deps.io.note(`${purpose}: ${WHAT_ENDS[purpose]}`)
    await confirm('Withdraw these keys?', options, deps)
  }
  const keys = await operate(options, deps, async ({ keys, operator }) => {
    const next: NextKey[] = []
    for (const purpose of purposes) {
      const change = compromised
        ? keys.withdraw(purpose, { operator })
        : keys.rotate(purpose, { operator })
      next.push(await change)
    }
    return next
  })
  if (options.json) deps.io.out(JSON.stringify({ compromised, keys: keys.map(viewOf) }))
  else for (const key of keys) deps.io.out(lineOf(key, compromised))
  return EXIT.ok
}

const viewOf = ({ purpose, kid, signsAt }: NextKey) => ({
  purpose,
  kid,
  signs_at: toTimestamp(signsAt),
})

function lineOf({ purpose, kid, signsAt }: NextKey, compromised: boolean): string {
  if (compromised) return `${purpose}: ${kid} signs now, all before it are withdrawn`
  return `${purpose}: ${kid} is published, and signs from ${toTimestamp(signsAt)}`
}
