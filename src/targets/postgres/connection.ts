import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import pg from 'pg'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import type { Address, Admin } from './config.ts'

const MAX_CONNECTIONS = 8
const CONNECT_TIMEOUT = 5_000
const IDLE_TIMEOUT = 60_000

/**
 * Settings of the administrator's sessions. What whoever owns the database could set for it
 * (ALTER DATABASE … SET) and turn against us is said here, where it has precedence.
 */
const SETTINGS = {
  search_path: 'pg_catalog',
  role: 'none',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  synchronous_commit: 'on',
  lock_timeout: '2s',
  statement_timeout: '15s',
  idle_in_transaction_session_timeout: '30s',
  idle_session_timeout: '0',
  client_min_messages: 'error',
  'plpgsql.extra_errors': 'none',
  jit: 'off',
}

export type Row = Readonly<Record<string, unknown>>

/** Runs SQL text, several statements in one transaction, and answers with the rows of the last. */
export type Run = (sql: string) => Promise<readonly Row[]>

/** PostgreSQL said no: its own code for it (SQLSTATE, PostgreSQL manual, appendix A). */
export class Refusal extends JitError {
  readonly sqlState: string

  constructor(sqlState: string, message: string) {
    super('target_refused', message)
    this.sqlState = sqlState
  }
}

/** One administrator's login at one server: a few kept connections. */
export class Connection {
  readonly #target: string
  readonly #admin: Admin
  #pool: pg.Pool | undefined

  constructor(target: string, admin: Admin) {
    this.#target = target
    this.#admin = admin
  }

  /**
   * Runs SQL on a kept connection.
   * @throws JitError `target_unreachable`; {@link Refusal} when the server says no
   */
  async run(sql: string, signal: AbortSignal): Promise<readonly Row[]> {
    const client = await this.#guard(this.#borrow(signal))
    let broken = true
    // The query says so too; unheard, it would end the process.
    const lost = () => {}
    client.on('error', lost)
    try {
      const rows = await this.#guard(query(client, { sql, signal }))
      broken = false
      return rows
    } finally {
      client.off('error', lost)
      client.release(broken)
    }
  }

  /** Works on a connection of its own, to any database of the server. */
  async inDatabase<T>(
    database: string,
    signal: AbortSignal,
    work: (run: Run) => Promise<T>,
  ): Promise<T> {
    const client = new pg.Client({ ...this.#settings(), database })
    client.on('error', () => {})
    try {
      await this.#guard(abortable(client.connect(), signal))
      return await work((sql) => this.#guard(query(client, { sql, signal })))
    } finally {
      await client.end().catch(() => {})
    }
  }

  async close(): Promise<void> {
    const pool = this.#pool
    this.#pool = undefined
    await pool?.end()
  }

  #borrow(signal: AbortSignal): Promise<pg.PoolClient> {
    const waiting = this.#openPool().connect()
    return abortable(waiting, signal).catch((error: unknown) => {
      waiting.then(
        (late) => late.release(),
        () => {},
      )
      throw error
    })
  }

  #openPool(): pg.Pool {
    if (this.#pool) return this.#pool
    const pool = new pg.Pool({
      ...this.#settings(),
      max: MAX_CONNECTIONS,
      idleTimeoutMillis: IDLE_TIMEOUT,
      allowExitOnIdle: true,
    })
    // A kept connection that dies is replaced; without a listener it would end the process.
    pool.on('error', () => {})
    this.#pool = pool
    return pool
  }

  #settings(): pg.ClientConfig {
    return {
      ...loginSettings(this.#admin),
      application_name: 'jit',
      connectionTimeoutMillis: CONNECT_TIMEOUT,
      options: Object.entries(SETTINGS)
        .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
        .join(' '),
    }
  }

  async #guard<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      throw asJitError(error, this.#target)
    }
  }
}

/** A login as the driver takes it. */
export function loginSettings(admin: Admin): pg.ClientConfig {
  const { host, port, user, password, database } = admin
  return { host, port, user, password, database, ssl: tlsOptions(admin) }
}

function tlsOptions({ sslmode, sslrootcert }: Address): ConnectionOptions | false {
  if (sslmode === 'disable') return false
  if (sslmode === 'require') return { rejectUnauthorized: false }
  const own = sslrootcert !== undefined && sslrootcert !== 'system'
  return {
    ...(own ? { ca: readFileSync(sslrootcert, 'utf8') } : {}),
    ...(sslmode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  }
}

async function query(
  client: pg.ClientBase,
  { sql, signal }: { sql: string; signal: AbortSignal },
): Promise<readonly Row[]> {
  const results: unknown = await abortable(client.query(sql), signal)
  const last: unknown = Array.isArray(results) ? results.at(-1) : results
  return (last as pg.QueryResult<Row>).rows
}

/** Stops waiting. What the server does meanwhile is bounded by `statement_timeout` and fenced by `mintBy`. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', abort)
    work.catch(() => {})
  }
}

// Class 08: connection exceptions; 57P0x: the server stops, starts or ended us; 53300: no connection is free.
const UNREACHABLE = /^(08...|57P0.|53300)$/

/** The driver's errors carry the statement: their message alone goes on. */
function asJitError(error: unknown, target: string): JitError {
  if (error instanceof JitError) return error
  if (error instanceof pg.DatabaseError && error.code && !UNREACHABLE.test(error.code)) {
    const message = escapeForDisplay(error.message)
    return new Refusal(error.code, `${target}: ${message} (SQLSTATE ${error.code})`)
  }
  const reason = error instanceof Error ? error.message || codeOf(error) : 'no answer'
  return new JitError('target_unreachable', `${target}: ${escapeForDisplay(reason)}`)
}

/** Node gives an `AggregateError` without a message when every address of a host fails. */
function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.name
}
