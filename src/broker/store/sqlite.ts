import { chmodSync, closeSync, openSync, realpathSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import { Migrator } from 'kysely/migration'
import type { Clock } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import { groupCommit } from './group-commit.ts'
import { migrations } from './migrations.ts'
import type { Schema } from './schema.ts'
import type { Store } from './store.ts'

/** How many compiled statements are kept. The queries are fixed, so all of them fit. */
const STATEMENTS_KEPT = 256

/** How long a broker that starts waits for the one before it to be gone, in milliseconds. */
const HANDOVER_MS = 3000

/** `node:sqlite` in the shape that Kysely's SQLite dialect expects, with its statements kept. */
function adapt(database: DatabaseSync) {
  const statements = new Map<string, ReturnType<typeof adaptStatement>>()
  return {
    close: () => database.close(),
    prepare(sql: string) {
      const kept = statements.get(sql)
      if (kept) return kept
      const statement = adaptStatement(database.prepare(sql))
      if (statements.size < STATEMENTS_KEPT) statements.set(sql, statement)
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

/** What the store itself refused; what the work threw passes as it is. */
function storeError(thrown: unknown): never {
  if (!(thrown instanceof Error) || !('errcode' in thrown)) throw thrown
  throw new JitError('store_failed', `the store failed: ${thrown.message}`, { cause: thrown })
}

/**
 * Opens, or makes, the ledger in one file that only its owner can read. WAL with full
 * synchronisation: what was committed survives a power cut.
 * @throws JitError `store_failed`
 */
export async function openSqliteStore(path: string, clock: Clock): Promise<Store> {
  let lock: DatabaseSync
  let database: DatabaseSync
  try {
    closeSync(openSync(path, 'a', 0o600))
    chmodSync(path, 0o600)
    lock = lockAgainstOthers(realpathSync(path))
    database = new DatabaseSync(path, { timeout: 5000 })
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON')
  } catch (cause) {
    if (cause instanceof JitError) throw cause
    throw new JitError('store_failed', `the store ${path} can't be opened`, { cause })
  }
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: adapt(database) }) })
  const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest()
  if (error)
    throw new JitError('store_failed', `the store ${path} can't be migrated`, { cause: error })
  const group = groupCommit(db, database)
  return {
    db,
    now: () => clock.now(),
    transaction: (work, options) => group(work, options).catch(storeError),
    async close() {
      await db.destroy()
      lock.close()
    },
  }
}
