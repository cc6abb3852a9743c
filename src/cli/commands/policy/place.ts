import { existsSync, readdirSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { JitError } from '../../../lib/errors.ts'
import type { Deps } from '../../deps.ts'

const CONFIG_FILE = 'broker.yaml'

export interface PlaceOptions {
  /** The folder of policies; without it the one that the configuration names. */
  readonly dir?: string
  /** Where a configuration is looked for, without either. */
  readonly beside?: string
  readonly config?: string
}

/** The argument and the flag that say where policies are. */
export function takesPlace(command: Command): Command {
  return command
    .argument('[dir]', `the folder of policies (without it, what ${CONFIG_FILE} names)`)
    .option(
      '--config <file>',
      `the broker's configuration (${CONFIG_FILE} in or beside the folder)`,
    )
}

/**
 * Loads a set of policies as the broker would.
 * @throws JitError `policy_invalid`, `config_invalid`, `usage`
 */
export async function openPolicies(options: PlaceOptions, deps: Deps) {
  const config = configFor(options, deps)
  const { loadConfig } = await import('../../../broker/config/load.ts')
  const { inventoryOf } = await import('../../../broker/config/config.ts')
  const { loadPolicies } = await import('../../../policy/load.ts')
  const { targetKinds } = await import('../../../targets/kinds.ts')
  const loaded = await loadConfig(config, targetKinds)
  const given = options.dir === undefined ? undefined : resolve(deps.cwd, options.dir)
  const dir = given === undefined || keepsElsewhere(given, config) ? loaded.policies : given
  const inventory = inventoryOf(loaded)
  return { config, dir, inventory, policies: await loadPolicies(dir, inventory) }
}

/** Whether a folder is the configuration's, and its policies are in another. */
function keepsElsewhere(folder: string, config: string): boolean {
  if (dirname(config) !== folder) return false
  return !readdirSync(folder).some((name) => name.endsWith('.cedar'))
}

/** The configuration given, or the one in or beside the folder of policies, or here. */
function configFor({ dir, beside = dir, config }: PlaceOptions, { cwd }: Deps): string {
  if (config !== undefined) return resolve(cwd, config)
  const folder = resolve(cwd, beside ?? '.')
  const folders = beside === undefined ? [folder] : [folder, dirname(folder)]
  const found = folders.map((one) => join(one, CONFIG_FILE)).find((path) => existsSync(path))
  if (found) return found
  const where = beside === undefined ? 'here' : `in or beside ${folder}`
  throw new JitError('usage', `there is no ${CONFIG_FILE} ${where}`, {
    hint: 'give --config FILE: it declares the names that policies may use',
  })
}

/** A path as somebody who stands in `cwd` would write it. */
export function shortPath(path: string, { cwd }: Deps): string {
  const short = relative(cwd, path)
  return short.startsWith('..') ? path : short
}
