import type { Command } from 'commander'
import { escapeForDisplay } from '../../../lib/escape.ts'
import type { Deps } from '../../deps.ts'
import { EXIT } from '../../exit-codes.ts'
import type { Exit } from '../../program.ts'
import { openPolicies, type PlaceOptions, shortPath, takesPlace } from './place.ts'

export interface PolicyCheckOptions extends PlaceOptions {
  readonly strict?: boolean
  readonly json?: boolean
}

export function registerPolicyCheck(policy: Command, deps: Deps, exit: Exit): void {
  takesPlace(policy.command('check'))
    .description('validate the *.cedar files of a folder against what broker.yaml declares')
    .option('--strict', 'fail on warnings too')
    .option('--json', 'print one JSON object')
    .action(async (dir: string | undefined, options: Omit<PolicyCheckOptions, 'dir'>) =>
      exit(await runPolicyCheck({ ...options, ...(dir === undefined ? {} : { dir }) }, deps)),
    )
}

/**
 * Loads a set of policies as the broker would, and warns of what it would take but nobody may mean.
 * @returns 1 for a warning when they count
 * @throws JitError `policy_invalid`, `config_invalid`, `usage`
 */
export async function runPolicyCheck(options: PolicyCheckOptions, deps: Deps): Promise<number> {
  const { config, inventory, policies } = await openPolicies(options, deps)
  const { lint } = await import('../../../policy/lint.ts')
  const warnings = lint(policies, inventory).map((warning) => ({
    ...warning,
    at: shortPath(warning.at, deps),
  }))
  const ok = warnings.length === 0 || !options.strict
  const { size, version } = policies
  if (options.json) {
    deps.io.out(JSON.stringify({ ok, policies: size, version, config, warnings }))
  } else {
    for (const { at, rule, policy, message } of warnings) {
      deps.io.note(escapeForDisplay(`${at}: ${policy}: ${message} (${rule})`))
    }
    const count = size === 1 ? '1 policy' : `${size} policies`
    deps.io.out(`${count} valid, version ${version.slice(0, 12)}`)
    deps.io.note(escapeForDisplay(`checked against ${config}`))
  }
  return ok ? EXIT.ok : EXIT.error
}
