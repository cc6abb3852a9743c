import { existsSync, realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { narrow } from '../context/narrowing.ts'
import { parseDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import type { Paths } from '../lib/paths.ts'
import { parse } from '../protocol/parse.ts'
import { Ceiling } from '../protocol/principal.ts'
import type { SandboxProfile } from '../sandbox/sandbox.ts'
import type { SandboxOptions } from './commands/sandbox.ts'
import { configFile, readSandboxProfiles } from './config.ts'
import type { SandboxSettings } from './config-document.ts'
import type { Deps } from './deps.ts'
import type { SandboxLimits } from './sandbox-session.ts'

/** What a sandbox is given, from flags, the person's profile and what the repository takes away. */
export interface ChosenSettings {
  /** The profile's name; `''` for none. */
  readonly name: string
  readonly domains: readonly string[]
  readonly profile: SandboxProfile
  readonly limits: SandboxLimits
}

/**
 * @param root the top of the working tree, where there is one
 * @throws JitError `usage` for a profile that isn't there, `config_invalid`, `profile_invalid`
 */
export async function chosenSettings(
  options: SandboxOptions,
  { root, deps }: { root: string | undefined; deps: Deps },
): Promise<ChosenSettings> {
  const { name, settings } = await chosenProfile(options, deps)
  const place = { directory: deps.cwd, root }
  const narrowed = await narrow(settings.domains ?? [], place)
  const home = deps.env.HOME || homedir()
  const absolute = (paths: readonly string[] = []) =>
    paths.map((path) => (path.startsWith('~') ? join(home, path.slice(1)) : path))
  for (const path of absolute([...(settings.readable ?? []), ...(settings.writable ?? [])])) {
    refuseOwn(path, deps.paths)
  }
  return {
    name,
    domains: narrowed.domains,
    profile: {
      readable: absolute(settings.readable),
      writable: absolute(settings.writable),
      hidden: [...absolute(settings.hidden), ...narrowed.hidden],
      readOnly: narrowed.readOnly,
      environment: settings.environment ?? [],
    },
    limits: {
      ceiling: ceilingOf(options, settings),
      expiresIn: options.ttl === undefined ? settings.ttl : parseDuration(options.ttl),
    },
  }
}

/** Sessions lie there, and what a sandbox is given: no profile opens that. */
function refuseOwn(path: string, paths: Paths): void {
  const real = (name: string) => (existsSync(name) ? realpathSync(name) : resolve(name))
  const { config, data, cache, runtime } = paths
  const own = [config, data, cache, runtime].find((folder) =>
    `${real(path)}/`.startsWith(`${real(folder)}/`),
  )
  if (own === undefined) return
  throw new JitError('config_invalid', `${configFile(paths)}: no sandbox is given ${path}`, {
    hint: `what lies in ${own} is jit's own`,
  })
}

/** The one that was asked for; else the one that is named like the command, if there is one. */
async function chosenProfile(
  { profile, command: [word = ''] }: SandboxOptions,
  { paths }: Deps,
): Promise<{ name: string; settings: SandboxSettings }> {
  const profiles = await readSandboxProfiles(paths)
  const name = profile ?? basename(word)
  const settings = Object.hasOwn(profiles, name) ? profiles[name] : undefined
  if (settings) return { name, settings }
  if (profile === undefined) return { name: '', settings: {} }
  const known = Object.keys(profiles)
  throw new JitError('usage', `--profile ${profile}: ${configFile(paths)} has no such profile`, {
    hint:
      known.length > 0
        ? `expected one of: ${known.join(', ')}`
        : `sandbox: { profiles: { ${profile}: { domains: [api.example.com] } } } would be one`,
  })
}

/** Each flag takes the place of its list. */
function ceilingOf(
  { env, task, target }: SandboxOptions,
  { environments = [], tasks = [], targets = [] }: SandboxSettings,
): Ceiling {
  const lists = {
    environments: env ?? environments,
    tasks: task ?? tasks,
    targets: target ?? targets,
  }
  const named = Object.entries(lists).filter(([, names]) => names.length > 0)
  return parse(Ceiling, Object.fromEntries(named), { what: 'ceiling', code: 'usage' })
}
