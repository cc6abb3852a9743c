import { chmodSync, closeSync, openSync } from 'node:fs'
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
 * Opens, or makes, the ledger in one file that only its owner can read. WAL with full
 * synchronisation: what was committed survives a power cut.
 * @throws JitError `store_failed`
 */
export async function openSqliteStore(path: string, clock: Clock): Promise<Store> {
  let database: DatabaseSync
  try {
    if (path !== ':memory:') {
      closeSync(openSync(path, 'a', 0o600))
      chmodSync(path, 0o600)
    }
    database = new DatabaseSync(path, { timeout: 5000 })
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON')
  } catch (cause) {
    throw new JitError('store_failed', `the store ${path} can't be opened`, { cause })
  }
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: adapt(database) }) })
  const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest()
  if (error)
    throw new JitError('store_failed', `the store ${path} can't be migrated`, { cause: error })
  return {
    db,
    now: () => clock.now(),
    transaction: groupCommit(db, database),
    close: () => db.destroy(),
  }
}
