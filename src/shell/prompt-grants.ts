import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Holder, type MarkerLine, parseMarkerLine } from '../lib/marker-line.ts'
import { pathsFrom } from '../lib/paths.ts'

/** A grant that is held on this machine by this user. */
export interface HeldGrant extends Omit<MarkerLine, 'holder'> {
  readonly id: string
  /** Seconds, above 0. */
  readonly left: number
}

export interface PromptView {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Milliseconds since the epoch. */
  readonly now: number
}

const MAX_BYTES = 512
const RANKS: Readonly<Record<string, number>> = { production: 1, staging: 2 }

/**
 * The grants that are held now: the one that this process lives in, then production's, staging's and
 * the others', of each those first that end first. The hooks beside this module have the same order.
 */
export function heldGrants(view: PromptView): HeldGrant[] {
  const rank = ({ id, tier }: HeldGrant) => (id === view.env.JIT_GRANT ? 0 : (RANKS[tier] ?? 3))
  const found = new Map<string, HeldGrant>()
  for (const folder of foldersOf(view.env)) {
    for (const grant of grantsIn(folder, view.now)) {
      if (!found.has(grant.id)) found.set(grant.id, grant)
    }
  }
  return [...found.values()].sort((a, b) => rank(a) - rank(b) || a.expires - b.expires)
}

/** Where `jit` may have left them: one started with another environment (a desktop's, an SSH session's), too. */
function foldersOf(env: PromptView['env']): Set<string> {
  const { XDG_RUNTIME_DIR: _, ...bare } = env
  const user = `/run/user/${process.getuid?.() ?? ''}/jit`
  const runtimes = [pathsFrom(env).runtime, user, pathsFrom(bare).runtime]
  return new Set(runtimes.map((runtime) => join(runtime, 'grants')))
}

function grantsIn(folder: string, now: number): HeldGrant[] {
  try {
    if (!isOwn(folder, 'isDirectory')) return []
    return readdirSync(folder).flatMap((id) => readGrant(folder, { id, now }) ?? [])
  } catch {
    return []
  }
}

function readGrant(
  folder: string,
  { id, now }: { id: string; now: number },
): HeldGrant | undefined {
  const file = join(folder, id)
  if (!/^[A-Za-z0-9_-]+$/.test(id) || !isOwn(file, 'isFile')) return undefined
  const line = parseMarkerLine(readFileSync(file, 'latin1'))
  if (!line || !isAlive(line.holder)) return undefined
  const { holder: _, ...shown } = line
  const left = line.expires - Math.floor(now / 1000)
  return left > 0 ? { id, left, ...shown } : undefined
}

/** Under /tmp anybody could have made it; nothing else is opened, which might never answer. */
function isOwn(path: string, kind: 'isDirectory' | 'isFile'): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found?.[kind]() || found.uid !== process.geteuid?.()) return false
  return kind === 'isDirectory' || found.size <= MAX_BYTES
}

/** What a kill -9 left is told by its process: gone, or another one of the same number. */
function isAlive({ pid, started }: Holder): boolean {
  try {
    if (started === undefined) return process.kill(pid, 0)
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(') ') + 2).split(' ')
    return fields[19] === started && !/[ZX]/.test(fields[0] ?? '')
  } catch {
    return false
  }
}
