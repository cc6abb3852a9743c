import { lstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What the shell's prompt shows of a live grant. */
export interface Marker {
  readonly grant: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
  readonly environment: string
  readonly tier: string
  readonly task: string
}

/**
 * Leaves one line about a live grant in the runtime directory, for the prompt:
 * `expires_at_unix environment tier task`. Where there is no such directory, or it isn't this user's
 * alone, nothing is left: the prompt is a convenience.
 * @returns takes the line away again
 */
export function leaveMarker(runtime: string, marker: Marker): Disposable {
  const { grant, expiresAt, environment, tier, task } = marker
  const folder = join(runtime, 'grants')
  const file = join(folder, grant)
  try {
    if (!/^[A-Za-z0-9_-]+$/.test(grant)) return NOTHING
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (!isPrivate(runtime) || !isPrivate(folder)) return NOTHING
    const line = [Math.floor(expiresAt / 1000), environment, tier, task].join(' ')
    writeFileSync(file, `${line}\n`, { mode: 0o600, flag: 'wx' })
  } catch {
    return NOTHING
  }
  return { [Symbol.dispose]: () => rmSync(file, { force: true }) }
}

const NOTHING: Disposable = { [Symbol.dispose]() {} }

/** Under /tmp anybody could have made the folder first. */
function isPrivate(folder: string): boolean {
  const { uid, mode } = lstatSync(folder)
  return uid === process.getuid?.() && (mode & 0o170_022) === 0o040_000
}
