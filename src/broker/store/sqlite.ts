import { accessSync, chmodSync, closeSync, openSync, realpathSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { type Dialect, Kysely, SqliteAdapter, SqliteDialect } from 'kysely'
import type { Clock } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import { type Grouping, groupCommit } from './group-commit.ts'
import { migrate } from './migrate.ts'
import type { Schema } from './schema.ts'
import type { Store, Tx } from './store.ts'

/** How many compiled statements are kept: those used last, since lists of any length make new ones. */
const STATEMENTS_KEPT = 256

/** How long a broker that starts waits for the one before it to be gone, in milliseconds. */
const HANDOVER_MS = 3000

/** SQLite changes tables in transactions, which Kysely's own adapter makes no use of. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

/** Kysely's dialect over `node:sqlite`: a migration is there as a whole or not at all. */
export function sqliteDialect(database: DatabaseSync): Dialect {
  const dialect = new SqliteDialect({ database: adapt(database) })
  return {
    createAdapter: () => new TransactionalAdapter(),
    createDriver: () => dialect.createDriver(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
  }
}

/** `node:sqlite` in the shape that Kysely's SQLite dialect expects, with its statements kept. */
function adapt(database: DatabaseSync) {
  const statements = new Map<string, ReturnType<typeof adaptStatement>>()
  return {
    close: () => database.close(),
    prepare(asked: string) {
      // An operator's command may write too: a transaction that reads first must not find that it can't.
      const sql = asked === 'begin' ? 'begin immediate' : asked
      const statement = statements.get(sql) ?? adaptStatement(database.prepare(sql))
      statements.delete(sql)
      statements.set(sql, statement)
      const [oldest] = statements.keys()
      if (statements.size > STATEMENTS_KEPT && oldest) statements.delete(oldest)
      return statement
    },
  }
}

function adaptStatement(statement: ReturnType<DatabaseSync['prepare']>) {
  const values = (parameters: readonly unknown[]) => parameters as SQLInputValue[]
  return {
    reader: statement.columns().length > 0,
    all: (parameters: readonly unknown[]) => statement.all(...values(parameters)),
    run: (parameters: readonly unknown[]) => statement.run(...values(parameters)),
    iterate: (parameters: readonly unknown[]) => statement.iterate(...values(parameters)),
  }
}

/**
 * Holds a file lock for as long as the process lives: two brokers over one file would end each
 * other's grants. SQLite's own, because the system drops it however the process ends.
 * @throws JitError `store_failed`
 */
function lockAgainstOthers(path: string): DatabaseSync {
  closeSync(openSync(`${path}.lock`, 'a', 0o600))
  const lock = new DatabaseSync(`${path}.lock`, { timeout: HANDOVER_MS })
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (cause) {
    lock.close()
    throw new JitError('store_failed', `another broker uses the store ${path}`, { cause })
  }
}

function groupingOf(db: Kysely<Schema>, database: DatabaseSync): Grouping {
  const transaction = <T>(connection: Kysely<Schema>, work: (tx: Tx) => Promise<T>) =>
    connection.transaction().execute(work)
  return {
    transaction: (work, durable) =>
      db.connection().execute(async (connection) => {
        if (durable) return transaction(connection, work)
        // In WAL mode, NORMAL leaves the wait for the disk to the next commit (SQLite, PRAGMA synchronous).
        database.exec('PRAGMA synchronous = NORMAL')
        return transaction(connection, work).finally(() =>
          database.exec('PRAGMA synchronous = FULL'),
        )
      }),
    execute: async (_, statement) => database.exec(statement),
    // A full disk has it roll back by itself.
    aborted: () => !database.isTransaction,
  }
}

/** What the store itself refused; what the work threw passes as it is. */
function storeError(thrown: unknown): never {
  if (!(thrown instanceof Error) || !('errcode' in thrown)) throw thrown
  throw new JitError('store_failed', `the store failed: ${thrown.message}`, { cause: thrown })
}

/** Opens a ledger that is there, beside the broker that may use it. @throws JitError `store_failed` */
export function lookIntoSqlite(path: string): Kysely<Schema> {
  try {
    closeSync(openSync(path, 'r+'))
    const database = new DatabaseSync(path, { timeout: HANDOVER_MS })
    return new Kysely<Schema>({ dialect: sqliteDialect(database) })
  } catch (cause) {
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException
    throw new JitError('store_failed', `the store ${path} can't be opened (${code})`, {
      hint: 'is this the user that the broker runs as?',
      cause,
    })
  }
}

function makePrivate(path: string): void {
  closeSync(openSync(path, 'a', 0o600))
  chmodSync(path, 0o600)
}

/**
 * Opens, or makes, the ledger in one file that only its owner can read. WAL with full
 * synchronisation: what was committed survives a power cut.
 * @param options.beside it has to be there, and a broker may be serving it
 * @throws JitError `store_failed`
 */
export async function openSqliteStore(
  path: string,
  clock: Clock,
  { beside } = { beside: false },
): Promise<Store> {
  let lock: DatabaseSync | undefined
  let database: DatabaseSync
  try {
    if (beside) accessSync(path)
    else {
      makePrivate(path)
      lock = lockAgainstOthers(realpathSync(path))
    }
    database = new DatabaseSync(path, { timeout: 5000 })
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON')
  } catch (cause) {
    if (cause instanceof JitError) throw cause
    throw new JitError('store_failed', `the store ${path} can't be opened`, { cause })
  }
  const db = new Kysely<Schema>({ dialect: sqliteDialect(database) })
  const close = async () => {
    await db.destroy()
    lock?.close()
  }
  try {
    await migrate(db, { name: `the store ${path}`, beside })
  } catch (thrown) {
    await close()
    throw thrown
  }
  const group = groupCommit(groupingOf(db, database))
  return {
    db,
    pulse: db,
    shared: false,
    now: () => clock.now(),
    transaction: (work, options) => group(work, options).catch(storeError),
    onCommit() {},
    close,
  }
}
