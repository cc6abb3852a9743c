import type { Command } from 'commander'
import type { Profile, ProfileFile } from '../../context/profile.ts'
import { formatDuration } from '../../lib/duration.ts'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import type { Deps } from '../deps.ts'
import { symbolsFor } from '../symbols.ts'

export interface TrustOptions {
  readonly yes?: boolean
  readonly remove?: boolean
  readonly json?: boolean
}

export function registerTrust(program: Command, deps: Deps, exit: (code: number) => void): void {
  program
    .command('trust')
    .description("trust this repository's .jit.yaml as it is now")
    .option('--yes', 'without asking')
    .option('--remove', 'trust it no longer')
    .option('--json', 'print one JSON object')
    .action(async (options: TrustOptions) => exit(await runTrust(options, deps)))
}

/**
 * Shows what the profiles ask for, asks, and records path and content hash.
 * @throws JitError `not_found`, `profile_invalid`, `usage`, `cancelled`
 */
export async function runTrust(options: TrustOptions, deps: Deps): Promise<number> {
  const file = await findHere(deps)
  const store = await import('../../context/trust.ts')
  if (options.remove) {
    await store.untrust(file.path, deps.paths)
    return report(file, { trusted: false, json: options.json === true }, deps)
  }
  if (!(await store.isTrusted(file, deps.paths))) {
    await confirm(file, options, deps)
    await store.trust(file, deps.paths)
  }
  return report(file, { trusted: true, json: options.json === true }, deps)
}

async function findHere({ cwd }: Deps): Promise<ProfileFile> {
  const { findRepository } = await import('../../context/git-dir.ts')
  const { findProfileFile, PROFILE_FILE } = await import('../../context/profile.ts')
  const file = await findProfileFile({ directory: cwd, root: findRepository(cwd)?.root })
  if (file) return file
  throw new JitError('not_found', `there is no ${PROFILE_FILE} here`, {
    hint: 'it is looked for from this folder up to the top of the repository',
  })
}

async function confirm(file: ProfileFile, options: TrustOptions, deps: Deps): Promise<void> {
  if (options.yes) return
  deps.io.note(`${escapeForDisplay(file.path)} asks for:`)
  for (const [name, profile] of file.profiles)
    deps.io.note(`  ${describe(name, profile, symbolsFor(deps.env).between)}`)
  const agreed = await deps.prompt.confirm({
    message: 'trust it until it changes?',
    default: false,
    flag: '--yes',
  })
  if (!agreed) throw new JitError('cancelled', 'not trusted')
}

function describe(name: string, profile: Profile, between: string): string {
  const { environment, task, targets, ttl, reason, labels } = profile
  const parts = [
    `${environment}${between}${task}`,
    targets?.join(', ') ?? 'every target of the task',
    ttl === undefined ? undefined : formatDuration(ttl),
    ...Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`),
    reason === undefined ? undefined : `"${reason}"`,
  ]
  return escapeForDisplay(`${name}: ${parts.filter((part) => part !== undefined).join(between)}`)
}

function report(
  { path, hash }: ProfileFile,
  { trusted, json }: { trusted: boolean; json: boolean },
  { io }: Deps,
): number {
  if (json) io.out(JSON.stringify({ path, hash, trusted }))
  else io.note(`${trusted ? 'trusted' : 'no longer trusted'}: ${escapeForDisplay(path)}`)
  return 0
}
