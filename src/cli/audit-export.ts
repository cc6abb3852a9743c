import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { tryLock } from '../auth/lock.ts'
import { exportLog } from '../client/audit-export.ts'
import { fetchKeys } from '../client/audit-log.ts'
import { ExportCursor } from '../client/export-cursor.ts'
import { type ExportSink, fileSink, httpSink } from '../client/export-sink.ts'
import { lastSeen, rememberSeen } from '../client/seen.ts'
import { isPrivateTransport } from '../lib/address.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { AuditPage } from '../protocol/audit.ts'
import type { Deps } from './deps.ts'

/** Where an export goes and what it remembers. */
export interface ExportOptions {
  readonly to: string
  readonly cursor?: string
  readonly headers?: string
  readonly follow?: boolean
}

/**
 * Exports the audit log until its end, or with `follow` until it is interrupted.
 * @throws JitError `usage`, and as {@link exportLog}
 */
export async function exportAudit(
  options: ExportOptions,
  {
    deps,
    broker,
    page,
  }: { deps: Deps; broker: string; page: (after: number) => Promise<AuditPage> },
): Promise<void> {
  const { io, paths, interrupted: signal } = deps
  const path = cursorPath(options, { deps, broker })
  const sink = sinkOf(options, deps)
  const cursor = new ExportCursor(path, broker)
  cursor.read()
  const unlock = await lock(path)
  try {
    const count = await exportLog({
      ...{ page, sink, cursor, signal },
      keys: () => fetchKeys(broker, signal),
      seen: lastSeen(paths.data, broker),
      follow: options.follow ?? false,
      again: ({ message }) =>
        io.note(`jit: ${io.style.yellow('warning')}: ${escapeForDisplay(message)}: trying again`),
      taken: (position) => rememberSeen(paths.data, { broker, position }),
    })
    io.note(`${count} entries exported to ${escapeForDisplay(sink.name)}`)
  } finally {
    await unlock()
  }
}

/** Two exports at once would each cut what the other writes. @throws JitError `usage` */
async function lock(cursor: string): Promise<() => Promise<void>> {
  const file = `${cursor}.lock`
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    // One whose holder was killed is free at the second try.
    const unlock = (await tryLock(file)) ?? (await tryLock(file))
    if (unlock) return unlock
  } catch (cause) {
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException
    throw new JitError('usage', `${file}: can't be written (${code})`, { cause })
  }
  throw new JitError('usage', 'another process exports with this cursor', {
    hint: 'one that was killed is forgotten after 5 s; --cursor names another',
  })
}

const urlOf = (to: string) => (/^https?:\/\//i.test(to) ? URL.parse(to) : null)

/** Beside the file; of an endpoint in the data directory. */
function cursorPath(
  { to, cursor }: ExportOptions,
  { deps, broker }: { deps: Deps; broker: string },
): string {
  if (cursor !== undefined) return resolve(deps.cwd, cursor)
  if (!urlOf(to)) return `${resolve(deps.cwd, to)}.cursor`
  const name = createHash('sha256').update(`${broker}\n${to}`).digest('hex').slice(0, 32)
  return join(deps.paths.data, 'export', `${name}.cursor`)
}

function sinkOf({ to, headers }: ExportOptions, { cwd, interrupted }: Deps): ExportSink {
  const url = urlOf(to)
  if (!url) {
    if (headers === undefined) return fileSink(resolve(cwd, to))
    throw new JitError('usage', '--headers is for an endpoint: --to https://…')
  }
  if (url.username || url.password) {
    throw new JitError('usage', '--to: a password in it is for all to see', {
      hint: 'put an Authorization header into a file and name it with --headers',
    })
  }
  if (!isPrivateTransport(url)) {
    throw new JitError('usage', '--to: expected https, or http on loopback')
  }
  return httpSink(url, {
    headers: headers === undefined ? {} : readHeaders(resolve(cwd, headers)),
    signal: interrupted,
  })
}

const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)$/

/** A file of `Name: value` lines. @throws JitError `usage`: its lines are not repeated, they are secrets */
function readHeaders(path: string): Record<string, string> {
  let text: string
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
      throw new JitError('usage', `${path}: others may read it: expected mode 0600`)
    }
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof JitError) throw cause
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException
    throw new JitError('usage', `${path}: can't be read (${code})`, { cause })
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim())
  return Object.fromEntries(
    [...lines.entries()].flatMap(([index, line]) => {
      if (line === '') return []
      const [, name, value] = HEADER.exec(line) ?? []
      if (name !== undefined && value !== undefined) return [[name, value]]
      throw new JitError('usage', `${path}:${index + 1}: expected 'Name: value'`)
    }),
  )
}
