import { EventEmitter } from 'node:events'
import { Socket } from 'node:net'
import {
  CompiledQuery,
  type Driver,
  HandleEmptyInListsPlugin,
  Kysely,
  PostgresAdapter,
  PostgresDialect,
  type PostgresDialectConfig,
  PostgresDriver,
  type PostgresPool,
  type PostgresPoolClient,
  replaceWithNoncontingentExpression,
  sql,
} from 'kysely'
import pg from 'pg'
import { JitError } from '../../lib/errors.ts'
import { parsePostgresUrl } from '../../targets/postgres/config.ts'
import { loginSettings } from '../../targets/postgres/connection.ts'
import type { Log } from '../log.ts'
import { groupCommit } from './group-commit.ts'
import { migrate } from './migrate.ts'
import type { Schema } from './schema.ts'
import type { Store, Tx } from './store.ts'
import { StoreClock } from './store-clock.ts'

/** Connections for reading, beside the one that writes, the one that listens and the one of the pulse. */
const READERS = 6
const CONNECT_TIMEOUT_MS = 5000
const IDLE_MS = 10_000
/** A server from which nothing comes for so long while something is awaited is gone. */
const SILENCE_MS = 20_000
const LISTEN_AGAIN_MS = 5000
const CHANNEL = 'jit_commits'

/**
 * A node that stops in the middle of a transaction keeps the others waiting no longer than the idle
 * timeout. Said for the transaction alone, so that it works through a pooler.
 */
const BOUNDS = [
  "SET LOCAL idle_in_transaction_session_timeout = '5s'",
  "SET LOCAL lock_timeout = '8s'",
  "SET LOCAL statement_timeout = '15s'",
]

/**
 * Begins in one round trip, with the only lock there is: transactions run one after the other over all
 * nodes, as SQLite's do.
 */
const BEGIN = [
  'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE',
  ...BOUNDS,
  "SELECT FROM meta WHERE key = 'writer' FOR UPDATE",
].join('; ')

/** What needn't be durable is in nobody's way, but may hold the row that another waits for. */
const ASIDE = [...BOUNDS, 'SET LOCAL synchronous_commit = off'].join('; ')

/** Numbers that PostgreSQL has 64 bits for are milliseconds and counts here: far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format),
}

/** Node gives an error without a message when every address of a host fails. */
function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message || String(thrown) : String(thrown)
}

/** What the store itself refused, or that it can't be reached; what a work threw passes as it is. */
function storeError(thrown: unknown): never {
  if (thrown instanceof JitError) throw thrown
  const message = `the store failed: ${reasonOf(thrown)}`
  throw new JitError('store_failed', message, { cause: thrown })
}

/** A pool whose errors say that it was the store, and which keeps no connection that broke. */
function poolOf(settings: pg.ClientConfig, max: number): PostgresPool {
  const pool = new pg.Pool({ ...settings, max, idleTimeoutMillis: IDLE_MS })
  // A kept connection that dies is replaced; without a listener it would end the process.
  pool.on('error', () => {})
  return {
    options: {},
    connect: async () => clientOf(await pool.connect().catch(storeError)),
    end: () => pool.end(),
  }
}

function clientOf(client: pg.PoolClient): PostgresPoolClient {
  let broken = false
  // The pool listens while it keeps the client; nobody else does, and then it would end the process.
  const lost = () => {
    broken = true
  }
  client.on('error', lost)
  const query = async (text: string, values: unknown[]) => {
    try {
      return await client.query(text, values)
    } catch (thrown) {
      if (!(thrown instanceof pg.DatabaseError)) broken = true
      return storeError(thrown)
    }
  }
  return {
    query: query as unknown as PostgresPoolClient['query'],
    release(discard) {
      client.off('error', lost)
      client.release(discard || broken)
    },
  }
}

type WriterConnection = Parameters<PostgresDriver['rollbackTransaction']>[0]

/** `IN ()` is nothing, as in SQLite; PostgreSQL doesn't read it. */
const EMPTY_LISTS = new HandleEmptyInListsPlugin({
  strategy: replaceWithNoncontingentExpression,
})

/** Begins under the lock of the one writer, and says so to other nodes when it commits. */
class WriterDriver extends PostgresDriver {
  readonly #notifies: () => boolean

  constructor(config: PostgresDialectConfig, notifies: () => boolean) {
    super(config)
    this.#notifies = notifies
  }

  override async beginTransaction(connection: WriterConnection): Promise<void> {
    try {
      await connection.executeQuery(CompiledQuery.raw(BEGIN))
    } catch (error) {
      await super.rollbackTransaction(connection).catch(() => {})
      throw error
    }
  }

  override async commitTransaction(connection: WriterConnection): Promise<void> {
    const notify = this.#notifies() ? `NOTIFY ${CHANNEL}; ` : ''
    await connection.executeQuery(CompiledQuery.raw(`${notify}COMMIT`))
  }
}

class WriterDialect extends PostgresDialect {
  readonly #driver: Driver

  constructor(config: PostgresDialectConfig, notifies: () => boolean) {
    super(config)
    this.#driver = new WriterDriver(config, notifies)
  }

  override createDriver(): Driver {
    return this.#driver
  }
}

/** Kysely's own lock is a session's, which would stay behind at a pooler's connection: {@link migrateAlone} has one. */
class ReaderAdapter extends PostgresAdapter {
  override async acquireMigrationLock(): Promise<void> {}

  override async releaseMigrationLock(): Promise<void> {}
}

class ReaderDialect extends PostgresDialect {
  override createAdapter(): PostgresAdapter {
    return new ReaderAdapter()
  }
}

/** One at a time, from before its own tables are made: nodes may all be started at once over an empty database. */
async function migrateAlone(
  db: Kysely<Schema>,
  which: Parameters<typeof migrate>[1],
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await sql`SELECT pg_advisory_xact_lock(hashtext('jit migrations'))`.execute(tx)
    await migrate(tx, which)
  })
}

/** Hears what other nodes commit, as far as the server passes it on, and comes back when it was lost. */
class Listener {
  readonly #settings: pg.ClientConfig
  readonly #log: Log
  readonly #events = new EventEmitter()
  #client: pg.Client | undefined
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  /** Whether the server knows notifications at all. */
  works = false

  constructor(settings: pg.ClientConfig, log: Log) {
    this.#settings = settings
    this.#log = log
  }

  on(listener: () => void): void {
    this.#events.on('commit', listener)
  }

  async start(): Promise<void> {
    // Without the limit on silence: here silence is the rule.
    const { stream: _, ...settings } = this.#settings
    const client = new pg.Client(settings)
    this.#client = client
    client.on('error', () => {})
    client.on('notification', () => this.#events.emit('commit'))
    client.once('end', () => this.#again())
    try {
      await client.connect()
      await client.query(`LISTEN ${CHANNEL}`)
      this.works = true
      this.#events.emit('commit')
    } catch (thrown) {
      const reason = reasonOf(thrown)
      this.#log.info('the store passes no notifications on: it is asked each second', { reason })
      await client.end().catch(() => {})
    }
  }

  #again(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => void this.start(), LISTEN_AGAIN_MS).unref()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#client?.end().catch(() => {})
  }
}

/** Where nothing is heard from the server for too long, the connection is gone. */
const impatientStream = () => {
  const socket = new Socket()
  return socket.setTimeout(SILENCE_MS, () => socket.destroy(new Error('the server is silent')))
}

function settingsOf(url: string): pg.ClientConfig {
  return {
    ...loginSettings(parsePostgresUrl(url, 'store')),
    application_name: 'jit-broker',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    types,
    stream: impatientStream,
  }
}

/** Reads a ledger that is there, beside the brokers that may use it. @throws JitError `config_invalid` */
export function lookIntoPostgres(url: string): Kysely<Schema> {
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool: poolOf(settingsOf(url), 1) }) })
}

/**
 * Opens, or makes, the ledger in a PostgreSQL that several brokers share. Nothing is kept for a
 * connection that a pooler between would lose.
 * @param url `postgres://…`
 * @param options.beside it has to be of this version: a broker that serves it may be of another
 * @throws JitError `config_invalid`, `store_failed`
 */
export async function openPostgresStore(
  url: string,
  log: Log,
  { beside } = { beside: false },
): Promise<Store> {
  const settings = settingsOf(url)
  const db = new Kysely<Schema>({
    dialect: new ReaderDialect({ pool: poolOf(settings, READERS) }),
    plugins: [EMPTY_LISTS],
  })
  try {
    await migrateAlone(db, { name: 'the store', beside })
  } catch (thrown) {
    await db.destroy()
    throw thrown
  }
  const listener = new Listener(settings, log)
  if (!beside) await listener.start()
  const writer = new Kysely<Schema>({
    dialect: new WriterDialect({ pool: poolOf(settings, 1) }, () => listener.works),
    plugins: [EMPTY_LISTS],
  })
  const pulse = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: poolOf(settings, 1) }) })
  const group = groupCommit({
    transaction: (work, durable) =>
      writer.transaction().execute(async (tx) => {
        if (!durable) await sql`SET LOCAL synchronous_commit = off`.execute(tx)
        return work(tx)
      }),
    execute: (tx, statement) => sql.raw(statement).execute(tx),
    aborted: () => false,
  })
  const aside = <T>(work: (tx: Tx) => Promise<T>) =>
    db.transaction().execute(async (tx) => {
      await sql.raw(ASIDE).execute(tx)
      return work(tx)
    })
  const clock = await StoreClock.start(async () => {
    const now = sql<{
      now: number
    }>`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`
    return (await now.execute(pulse)).rows[0]?.now ?? Date.now()
  }, log)
  return {
    db,
    pulse,
    shared: true,
    now: () => clock.now(),
    transaction: (work, { durable } = { durable: true }) => (durable ? group(work) : aside(work)),
    onCommit: (told) => listener.on(told),
    async close() {
      clock.stop()
      await listener.stop()
      await writer.destroy()
      await pulse.destroy()
      await db.destroy()
    },
  }
}
