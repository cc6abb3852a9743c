import type { Command } from 'commander'
import type { ProfileFile } from '../../context/profile.ts'
import type { TrustRecord } from '../../context/trust.ts'
import { JitError } from '../../lib/errors.ts'
import type { Deps } from '../deps.ts'
import { homePath } from '../home-path.ts'
import { changesText, profilesText } from '../profile-text.ts'
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
 * Shows what the profiles ask for and what has changed since they were trusted, asks, and records
 * path and content hash.
 * @throws JitError `not_found`, `profile_invalid`, `usage`, `cancelled`
 */
export async function runTrust(options: TrustOptions, deps: Deps): Promise<number> {
  const file = await findHere(deps)
  const store = await import('../../context/trust.ts')
  if (options.remove) {
    await store.untrust(file.path, deps.paths)
    return report(file, { trusted: false, json: options.json === true }, deps)
  }
  const record = await store.trustRecord(file, deps.paths)
  if (!options.json || !options.yes) show(file, record, deps)
  if (record.kind !== 'trusted') {
    await confirm(options, deps)
    await store.trust(file, deps.paths)
  }
  const already = record.kind === 'trusted'
  return report(file, { trusted: true, already, json: options.json === true }, deps)
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

function show(file: ProfileFile, record: TrustRecord, { io, env }: Deps): void {
  const { between } = symbolsFor(env)
  io.note(`${homePath(file.path, env)} asks for:`)
  for (const line of profilesText(file, between)) io.note(line)
  if (record.kind !== 'changed') return
  if (!record.then) {
    io.note('it was trusted in another content, and what that said is not known any more')
    return
  }
  const changes = changesText(record.then, file, between)
  const nothing = 'it is not what was trusted, but asks for the same'
  io.note(changes.length > 0 ? 'changed since it was trusted:' : nothing)
  for (const line of changes) io.note(line)
}

async function confirm(options: TrustOptions, { prompt }: Deps): Promise<void> {
  if (options.yes) return
  const agreed = await prompt.confirm({
    message: 'trust it until it changes?',
    default: false,
    flag: '--yes',
  })
  if (!agreed) throw new JitError('cancelled', 'not trusted')
}

function report(
  { path, hash }: ProfileFile,
  { trusted, already, json }: { trusted: boolean; already?: boolean; json: boolean },
  { io, env }: Deps,
): number {
  if (json) io.out(JSON.stringify({ path, hash, trusted }))
  else {
    const said = already ? 'trusted already' : 'trusted'
    io.note(`${trusted ? said : 'no longer trusted'}: ${homePath(path, env)}`)
  }
  return 0
}
