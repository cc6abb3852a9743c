import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import {
  formatMarkerLine,
  type Holder,
  type MarkerLine,
  parseMarkerLine,
} from '../lib/marker-line.ts'

/** What the shell's prompt shows of a live grant. */
export interface Marker extends Pick<MarkerLine, 'environment' | 'tier' | 'task' | 'agent'> {
  readonly grant: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

/** A line that was left. */
export interface LeftMarker extends Disposable {
  /** @param expiresAt milliseconds since the epoch */
  move(expiresAt: number): void
}

/** Seconds after which what a killed `jit` left behind is taken away. */
const KEPT_FOR = 3600

/**
 * Leaves one line about a live grant in the runtime directory, for the prompt: see
 * {@link formatMarkerLine}. Where there is no such directory, or it isn't this user's
 * alone, nothing is left: the prompt is a convenience.
 * @returns takes the line away again
 */
export function leaveMarker(runtime: string, { grant, expiresAt, ...shown }: Marker): LeftMarker {
  const holder = thisProcess()
  const lineUntil = (end: number) =>
    formatMarkerLine({ ...shown, expires: Math.floor(end / 1000), holder })
  const folder = join(runtime, 'grants')
  const file = join(folder, grant)
  try {
    // What the prompt would not read.
    if (!/^[A-Za-z0-9_-]+$/.test(grant) || !parseMarkerLine(lineUntil(expiresAt))) return NOTHING
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (!isPrivate(runtime) || !isPrivate(folder)) return NOTHING
    clear(folder)
    writeFileSync(file, lineUntil(expiresAt), { mode: 0o600, flag: 'wx' })
  } catch {
    return NOTHING
  }
  const draft = join(folder, `.${grant}`)
  return {
    move(later) {
      try {
        writeFileSync(draft, lineUntil(later), { mode: 0o600 })
        renameSync(draft, file)
      } catch {
        // The prompt shows the former deadline.
      }
    },
    [Symbol.dispose]: () => rmSync(file, { force: true }),
  }
}

const NOTHING: LeftMarker = { move() {}, [Symbol.dispose]() {} }

/** By the number that /proc knows it by: another one where that belongs to an outer PID namespace. */
function thisProcess(): Holder {
  try {
    const [, pid, rest = ''] =
      /^(\d+) \(.*\) (.*)/s.exec(readFileSync('/proc/self/stat', 'utf8')) ?? []
    return { pid: Number(pid), started: rest.split(' ')[19] }
  } catch {
    return { pid: process.pid, started: undefined }
  }
}

/** By their time, not by their process, which may be alive where this one can't see it: in a container. */
function clear(folder: string): void {
  const before = Date.now() / 1000 - KEPT_FOR
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(folder, entry.name)
    try {
      const line = parseMarkerLine(readFileSync(file, 'utf8'))
      if (line && line.expires < before) rmSync(file)
    } catch {
      // Gone meanwhile.
    }
  }
}

/** Under /tmp anybody could have made the folder first. */
function isPrivate(folder: string): boolean {
  const { uid, mode } = lstatSync(folder)
  return uid === process.getuid?.() && (mode & 0o170_022) === 0o040_000
}
