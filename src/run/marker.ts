import { lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
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

/** A line that was left. */
export interface LeftMarker extends Disposable {
  /** @param expiresAt milliseconds since the epoch */
  move(expiresAt: number): void
}

/**
 * Leaves one line about a live grant in the runtime directory, for the prompt:
 * `expires_at_unix environment tier task`. Where there is no such directory, or it isn't this user's
 * alone, nothing is left: the prompt is a convenience.
 * @returns takes the line away again
 */
export function leaveMarker(runtime: string, marker: Marker): LeftMarker {
  const { grant, environment, tier, task } = marker
  const lineUntil = (expiresAt: number) =>
    `${[Math.floor(expiresAt / 1000), environment, tier, task].join(' ')}\n`
  const folder = join(runtime, 'grants')
  const file = join(folder, grant)
  try {
    if (!/^[A-Za-z0-9_-]+$/.test(grant)) return NOTHING
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (!isPrivate(runtime) || !isPrivate(folder)) return NOTHING
    writeFileSync(file, lineUntil(marker.expiresAt), { mode: 0o600, flag: 'wx' })
  } catch {
    return NOTHING
  }
  const draft = join(folder, `.${grant}`)
  return {
    move(expiresAt) {
      try {
        writeFileSync(draft, lineUntil(expiresAt), { mode: 0o600 })
        renameSync(draft, file)
      } catch {
        // The prompt shows the former deadline.
      }
    },
    [Symbol.dispose]: () => rmSync(file, { force: true }),
  }
}

const NOTHING: LeftMarker = { move() {}, [Symbol.dispose]() {} }

/** Under /tmp anybody could have made the folder first. */
function isPrivate(folder: string): boolean {
  const { uid, mode } = lstatSync(folder)
  return uid === process.getuid?.() && (mode & 0o170_022) === 0o040_000
}
