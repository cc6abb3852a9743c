import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { LogPosition } from '../protocol/grant.ts'
import { parseJson } from '../protocol/parse.ts'

const Seen = v.record(v.string(), LogPosition)

const fileIn = (data: string) => join(data, 'seen.json')

/** The furthest place of a broker's audit log that this client was told of; nothing where it never was. */
export function lastSeen(data: string, broker: string): LogPosition | undefined {
  return read(data)[broker]
}

/**
 * Keeps the place of the audit log that a receipt names: whoever cuts the log short or exchanges it
 * later is found by that. A file that can't be written is no reason to fail a command.
 */
export function rememberSeen(
  data: string,
  { broker, position }: { broker: string; position: LogPosition },
): void {
  const seen = read(data)
  const before = seen[broker]
  if (before && before.seq >= position.seq) return
  try {
    mkdirSync(data, { recursive: true, mode: 0o700 })
    const draft = `${fileIn(data)}.${process.pid}`
    writeFileSync(draft, JSON.stringify({ ...seen, [broker]: position }), { mode: 0o600 })
    renameSync(draft, fileIn(data))
  } catch {
    // Read-only home directories exist; the log is checked without this then.
  }
}

function read(data: string): Record<string, LogPosition> {
  try {
    return parseJson(Seen, readFileSync(fileIn(data), 'utf8'), { what: 'seen.json' })
  } catch {
    return {}
  }
}
