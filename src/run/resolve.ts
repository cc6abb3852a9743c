import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, resolve } from 'node:path'
import { JitError } from '../lib/errors.ts'

/** Where execvp(3) looks when `PATH` isn't set. */
const DEFAULT_PATH = '/bin:/usr/bin'

type Found = 'executable' | 'not-executable' | 'absent'

/**
 * The absolute path of the program that a command starts, found as execvp(3) does: before anything
 * is asked for, so that a typing error costs nobody an approval.
 * @throws JitError `command_not_found`, `command_not_executable`
 */
export function resolveExecutable(
  name: string,
  { path = DEFAULT_PATH, directory }: { path: string | undefined; directory: string },
): string {
  const places = name.includes('/') ? [''] : path.split(delimiter)
  const candidates = name === '' ? [] : places.map((place) => resolve(directory, place, name))
  let refused = false
  for (const candidate of candidates) {
    const found = look(candidate)
    if (found === 'executable') return candidate
    refused ||= found === 'not-executable'
  }
  if (refused) throw new JitError('command_not_executable', `${name}: not executable`)
  throw new JitError('command_not_found', `${name}: command not found`)
}

function look(path: string): Found {
  try {
    if (!statSync(path).isFile()) return 'not-executable'
    accessSync(path, constants.X_OK)
    return 'executable'
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EACCES' ? 'not-executable' : 'absent'
  }
}
