import { setTimeout as delay } from 'node:timers/promises'
import type { JSONWebKeySet } from 'jose'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import type { AuditPage } from '../protocol/audit.ts'
import type { LogPosition } from '../protocol/grant.ts'
import { LogVerifier } from './audit-log.ts'
import type { ExportCursor } from './export-cursor.ts'
import { type ExportSink, SinkBusy } from './export-sink.ts'

/** Milliseconds between two looks at a log that has nothing new. */
const LOOK_EVERY = 2000
/** Attempts before an export that doesn't follow gives up, and milliseconds between them at most. */
const ATTEMPTS = 5
const MOST_PAUSE = 60_000

/** What the broker says while it is out of reach, or its store is. */
const TRANSIENT: readonly ErrorCode[] = [
  'broker_unreachable',
  'broker_failed',
  'issuer_unreachable',
  'store_failed',
]

/** What an export is made of. */
export interface AuditExport {
  readonly page: (after: number) => Promise<AuditPage>
  /** The broker's public keys, asked for as often as its head is checked. */
  readonly keys: () => Promise<JSONWebKeySet>
  readonly sink: ExportSink
  readonly cursor: ExportCursor
  /** The furthest place of the log that this client was told of. */
  readonly seen: LogPosition | undefined
  /** Goes on with what is new, until `signal`. */
  readonly follow: boolean
  readonly signal: AbortSignal
  /** Told of each attempt that failed and is made again. */
  readonly again: (error: JitError) => void
  /** Told how far it is safely there. */
  readonly taken: (position: LogPosition) => void
}

/**
 * Hands the audit log on, each entry at least once and in order: a page is checked, taken by the sink, and only
 * then counted. What doesn't continue what was exported before is not handed on.
 * @returns how many entries were taken
 * @throws JitError `export_failed` (the log doesn't hold together, or the sink refuses it), what the broker answers
 */
export async function exportLog(job: AuditExport): Promise<number> {
  const from = job.cursor.read()
  const verifier = new LogVerifier(job.seen, from)
  let after = from?.seq ?? 0
  let checked = ''
  let count = 0
  for (;;) {
    const page = await patiently(job, () => job.page(after))
    const { entries, next, head } = page
    for (const entry of entries) verifier.add(entry)
    if (next === undefined && head.signature !== checked) {
      await verifier.finish(head, await patiently(job, job.keys))
      checked = head.signature
    }
    requireWhole(verifier)
    const last = entries.at(-1)
    if (last) {
      const lines = entries.map((entry) => `${JSON.stringify(entry)}\n`).join('')
      await patiently(job, () => job.sink.take(lines))
      job.cursor.keep(last)
      job.taken(last)
      after = last.seq
      count += entries.length
    }
    if (next !== undefined && !last) throw broken('a page of it is empty, and is not the last')
    if (next === undefined && !job.follow) return count
    if (next === undefined) await delay(LOOK_EVERY, undefined, { signal: job.signal })
  }
}

/** Tries again what may succeed later; for ever where the export follows. */
async function patiently<T>(
  { follow, signal, again }: AuditExport,
  work: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (thrown) {
      signal.throwIfAborted()
      const error = JitError.from(thrown)
      const transient = thrown instanceof SinkBusy || TRANSIENT.includes(error.code)
      if (!transient || (!follow && attempt >= ATTEMPTS)) throw thrown
      again(error)
    }
    const pause = Math.min(MOST_PAUSE, 500 * 2 ** Math.min(attempt, 10))
    await delay(pause * (0.5 + Math.random() / 2), undefined, { signal })
  }
}

function requireWhole({ problems }: LogVerifier): void {
  const [problem] = problems
  if (problem !== undefined) throw broken(problem)
}

function broken(problem: string): JitError {
  return new JitError('export_failed', `the audit log does not hold together: ${problem}`, {
    hint: 'nothing from there on was exported; jit audit --verify says more',
  })
}
