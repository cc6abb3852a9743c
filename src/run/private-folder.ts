import { randomBytes } from 'node:crypto'
import { lstatSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { JitError } from '../lib/errors.ts'

/** Of a Unix socket's path, what leaves room for a name (unix(7): 108 bytes). */
const LONGEST = 80

/**
 * Makes a folder that this user alone can enter, in the runtime directory.
 * @throws JitError `sandbox_unavailable` where somebody else could, or its name is too long for sockets
 */
export function privateFolder(runtime: string): string {
  const all = join(runtime, 'sandboxes')
  const folder = join(all, randomBytes(6).toString('hex'))
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new JitError('sandbox_unavailable', `can't make a folder in ${runtime} (${code})`, {
      cause,
    })
  }
  const open = [dirname(runtime), runtime, all, folder].find((path) => !isClosed(path))
  if (open !== undefined) {
    throw new JitError('sandbox_unavailable', `${open} is open to others`, {
      hint: `it has to be yours alone: chmod 700 ${open}`,
    })
  }
  if (Buffer.byteLength(folder) <= LONGEST) return folder
  throw new JitError('sandbox_unavailable', `${runtime} is too long a name for sockets in it`, {
    hint: 'set XDG_RUNTIME_DIR to a shorter one',
  })
}

/** Whether it is this user's alone to write in: under /tmp anybody could have made the folder first. */
export function isClosed(folder: string): boolean {
  const { uid, mode } = lstatSync(folder)
  return uid === process.getuid?.() && (mode & 0o170_022) === 0o040_000
}
