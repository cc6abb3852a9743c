import { lstatSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROFILE_FILE, parseProfiles } from '../context/profile.ts'
import { JitError } from '../lib/errors.ts'
import { type NewProfile, profileDocument } from './init-document.ts'

/**
 * Where the profiles of a repository are written.
 * @throws JitError `usage` where there are some already, and they aren't to be replaced
 */
export function fileFor(root: string, { force }: { force: boolean }): string {
  const path = join(root, PROFILE_FILE)
  if (force || lstatSync(path, { throwIfNoEntry: false }) === undefined) return path
  throw alreadyThere(path)
}

/**
 * Writes them, whole or not at all.
 * @throws JitError `usage` where a file is there by now, or a name isn't one; `config_invalid` where it
 *   can't be written
 */
export async function writeProfiles(
  profiles: readonly NewProfile[],
  { path, force }: { path: string; force: boolean },
): Promise<void> {
  const text = profileDocument(profiles)
  try {
    await parseProfiles(text, path)
  } catch (thrown) {
    const { message } = JitError.from(thrown)
    throw new JitError('usage', message.replace(`${path}:`, 'line '), { cause: thrown })
  }
  const beside = `${path}.${process.pid}.new`
  try {
    if (!force) {
      writeFileSync(path, text, { flag: 'wx' })
      return
    }
    writeFileSync(beside, text, { flag: 'wx' })
    renameSync(beside, path)
  } catch (cause) {
    rmSync(beside, { force: true })
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'EEXIST') throw alreadyThere(path)
    throw new JitError('config_invalid', `can't write ${path} (${code})`, { cause })
  }
}

function alreadyThere(path: string): JitError {
  return new JitError('usage', `${path} is there already`, {
    hint: "edit it and look at it with 'jit trust', or write another with --force",
  })
}
