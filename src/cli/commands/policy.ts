import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import type { Deps } from '../deps.ts'

export interface PolicyCheckOptions {
  readonly dir: string
  readonly config?: string
  readonly json?: boolean
}

const CONFIG_FILE = 'broker.yaml'

export function registerPolicy(program: Command, deps: Deps, exit: (code: number) => void): void {
  const policy = program.command('policy').description('policies as code')
  policy
    .command('check')
    .description('validate the *.cedar files of a folder against what broker.yaml declares')
    .argument('<dir>', 'the folder')
    .option(
      '--config <file>',
      `the broker's configuration (${CONFIG_FILE} in or beside the folder)`,
    )
    .option('--json', 'print one JSON object')
    .action(async (dir: string, options: Omit<PolicyCheckOptions, 'dir'>) =>
      exit(await runPolicyCheck({ ...options, dir }, deps)),
    )
}

/**
 * Loads a set of policies as the broker would.
 * @throws JitError `policy_invalid`, `config_invalid`, `usage`
 */
export async function runPolicyCheck(options: PolicyCheckOptions, deps: Deps): Promise<number> {
  const dir = resolve(deps.cwd, options.dir)
  const config = configFor(dir, options, deps)
  const { loadConfig } = await import('../../broker/config/load.ts')
  const { vocabularyOf } = await import('../../broker/config/config.ts')
  const { loadPolicies } = await import('../../policy/load.ts')
  const { targetKinds } = await import('../../targets/kinds.ts')
  const vocabulary = vocabularyOf(await loadConfig(config, targetKinds))
  const { size, version } = await loadPolicies(dir, vocabulary)
  if (options.json) {
    deps.io.out(JSON.stringify({ ok: true, policies: size, version, config }))
  } else {
    const policies = size === 1 ? '1 policy' : `${size} policies`
    deps.io.out(`${policies} valid, version ${version.slice(0, 12)}`)
    deps.io.note(escapeForDisplay(`checked against ${config}`))
  }
  return 0
}

/** The configuration given, or the one in or beside the folder of policies. */
function configFor(dir: string, { config }: PolicyCheckOptions, { cwd }: Deps): string {
  if (config !== undefined) return resolve(cwd, config)
  const beside = [join(dir, CONFIG_FILE), join(dirname(dir), CONFIG_FILE)]
  const found = beside.find((path) => existsSync(path))
  if (found) return found
  throw new JitError('usage', `there is no ${CONFIG_FILE} in or beside ${dir}`, {
    hint: 'give --config FILE: it declares the names that policies may use',
  })
}
