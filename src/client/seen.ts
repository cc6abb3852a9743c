import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LogPosition } from '../protocol/grant.ts'
import { parseJson } from '../protocol/parse.ts'

const folderIn = (data: string) => join(data, 'seen')

/** The furthest place of a broker's audit log that this client was told of; nothing where it never was. */
export function lastSeen(data: string, broker: string): LogPosition | undefined {
  const [furthest] = namesOf(data, broker)
  if (furthest === undefined) return undefined
  try {
    const text = readFileSync(join(folderIn(data), furthest), 'utf8')
    return parseJson(LogPosition, text, { what: furthest })
  } catch {
    return undefined
  }
}

/**
 * Keeps the place of the audit log that a receipt names: whoever cuts the log short or exchanges it
 * later is found by that. Each place is a file of its own, removed only once a further one is there:
 * so many processes at once need no lock, and the furthest is never lost. A file that can't be
 * written is no reason to fail a command.
 */
export function rememberSeen(
  data: string,
  { broker, position }: { broker: string; position: LogPosition },
): void {
  const name = nameOf(broker, position.seq)
  const [furthest] = namesOf(data, broker)
  if (furthest !== undefined && furthest >= name) return
  const folder = folderIn(data)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const draft = join(folder, `${name}.${process.pid}`)
    const { seq, hash } = position
    writeFileSync(draft, JSON.stringify({ seq, hash }), { mode: 0o600 })
    renameSync(draft, join(folder, name))
    for (const nearer of namesOf(data, broker).slice(1))
      rmSync(join(folder, nearer), { force: true })
  } catch {
    // Read-only home directories exist; the log is checked without this then.
  }
}

/** Of fixed width, so that names compare as numbers do. */
function nameOf(broker: string, seq: number): string {
  return `${prefixOf(broker)}${String(seq).padStart(16, '0')}`
}

function prefixOf(broker: string): string {
  return `${createHash('sha256').update(broker).digest('hex').slice(0, 16)}-`
}

/** The furthest first. */
function namesOf(data: string, broker: string): string[] {
  const prefix = prefixOf(broker)
  try {
    const names = readdirSync(folderIn(data))
    return names
      .filter((name) => name.startsWith(prefix) && /^\d{16}$/.test(name.slice(prefix.length)))
      .sort()
      .reverse()
  } catch {
    return []
  }
}
