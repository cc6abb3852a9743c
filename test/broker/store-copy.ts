import { copyFileSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { inject } from 'vitest'
import { openPostgresStore } from '../../src/broker/store/postgres.ts'
import { openSqliteStore } from '../../src/broker/store/sqlite.ts'
import type { Store } from '../../src/broker/store/store.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }

/** A copy of a ledger as a backup has it. */
export interface StoreCopy {
  /** In the ledger's place, once no broker has that. */
  restore(): Promise<void>
  /** Beside the ledger. */
  open(now: () => number): Promise<Store>
}

/** Opens the ledger of a broker whose files are in `directory`, by a clock that the test holds. */
export async function openStore(directory: string, now: () => number): Promise<Store> {
  return inject('storeServer') === undefined
    ? openFile(join(directory, 'ledger.db'), now)
    : openDatabase(urlIn(directory), now)
}

/** Copies the ledger of a broker whose files are in `directory`, while it serves. */
export async function copyStore(directory: string): Promise<StoreCopy> {
  return inject('storeServer') === undefined ? copyFile(directory) : copyDatabase(directory)
}

function copyFile(directory: string): StoreCopy {
  const original = join(directory, 'ledger.db')
  const copy = join(directory, `backup-${crypto.randomUUID()}.db`)
  const database = new DatabaseSync(original)
  database.prepare('VACUUM INTO ?').run(copy)
  database.close()
  return {
    async restore() {
      for (const suffix of ['-wal', '-shm']) rmSync(`${original}${suffix}`, { force: true })
      copyFileSync(copy, original)
    },
    open: (now) => openFile(copy, now),
  }
}

/** Row by row, in one snapshot: what a dump does. */
async function copyDatabase(directory: string): Promise<StoreCopy> {
  const original = urlIn(directory)
  const copy = new URL(original)
  copy.pathname = `${copy.pathname}-${crypto.randomUUID()}`
  await using from = await connect(original)
  await from.client.query(`CREATE DATABASE "${nameOf(copy)}"`)
  await (await openPostgresStore(copy.href, log)).close()
  await using to = await connect(copy)
  await from.client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await to.client.query('BEGIN; SET LOCAL session_replication_role = replica')
  const { rows: tables } = await from.client.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
  )
  for (const { name } of tables) {
    const { rows } = await from.client.query(
      `SELECT coalesce(json_agg(t), '[]') AS all FROM "${name}" t`,
    )
    await to.client.query(`DELETE FROM "${name}"`)
    await to.client.query(
      `INSERT INTO "${name}" SELECT * FROM json_populate_recordset(NULL::"${name}", $1)`,
      [JSON.stringify(rows[0]?.all)],
    )
  }
  await to.client.query('COMMIT')
  await from.client.query('COMMIT')
  return {
    async restore() {
      await using admin = await connect(new URL(inject('storeServer') ?? ''))
      await admin.client.query(`DROP DATABASE "${nameOf(original)}" WITH (FORCE)`)
      await admin.client.query(`CREATE DATABASE "${nameOf(original)}" TEMPLATE "${nameOf(copy)}"`)
    },
    open: (now) => openDatabase(copy, now),
  }
}

const openFile = (path: string, now: () => number) =>
  openSqliteStore(path, { now, monotonic: () => performance.now() })

const openDatabase = async (url: URL, now: () => number) => ({
  ...(await openPostgresStore(url.href, log)),
  now,
})

const urlIn = (directory: string) => new URL(readFileSync(join(directory, 'store.url'), 'utf8'))
const nameOf = ({ pathname }: URL) => pathname.slice(1)

async function connect({ href }: URL) {
  const client = new pg.Client({ connectionString: href })
  await client.connect()
  return { client, [Symbol.asyncDispose]: () => client.end() }
}
