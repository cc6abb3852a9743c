import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { inject } from 'vitest'
import type { Log } from '../../src/broker/log.ts'
import { newSealKey } from '../../src/broker/seal.ts'
import { openPostgresStore } from '../../src/broker/store/postgres.ts'
import type { Store } from '../../src/broker/store/store.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The superuser's URL of a PostgreSQL that stores are made in; absent: they are files. */
    storeServer: string | undefined
  }
}

/**
 * `store:` of a broker whose files are in `directory`: a file there, or a database of its own.
 * @param port of a pooler that it is reached through
 */
export async function storeIn(directory: string, port?: number): Promise<string> {
  const server = inject('storeServer')
  if (server === undefined) return 'store: sqlite:ledger.db'
  const key = join(directory, 'seal.key')
  if (!existsSync(key)) writeFileSync(key, newSealKey(), { mode: 0o600 })
  const name = basename(directory)
  await administer(server, async (admin) => {
    const { rowCount } = await admin.query('SELECT FROM pg_database WHERE datname = $1', [name])
    if (rowCount === 0) await admin.query(`CREATE DATABASE "${name}"`)
  })
  const url = new URL(server)
  url.pathname = name
  if (port !== undefined) url.port = String(port)
  writeFileSync(join(directory, 'store.url'), url.href, { mode: 0o600 })
  return `store: file:store.url\nseal_key: file:seal.key`
}

/**
 * The store of {@link storeIn}, where it is to be another than the broker would open: by a clock that the
 * test holds, for a PostgreSQL's own is not to be set; or without word of what other nodes commit.
 */
export async function storeAt(
  directory: string,
  { now, deaf = false, log }: { now?: () => number; deaf?: boolean; log: Log },
): Promise<{ store?: Store }> {
  if (inject('storeServer') === undefined || (now === undefined && !deaf)) return {}
  const store = await openPostgresStore(readFileSync(join(directory, 'store.url'), 'utf8'), log)
  return { store: { ...store, ...(now ? { now } : {}), ...(deaf ? { onCommit() {} } : {}) } }
}

/** Runs SQL on the ledger of a broker whose files are in `directory`, with `?` for values. @returns its rows */
export async function querySql(
  directory: string,
  text: string,
  values: readonly (string | number)[] = [],
): Promise<Record<string, unknown>[]> {
  if (inject('storeServer') === undefined) {
    using database = new DatabaseSync(join(directory, 'ledger.db'))
    return database.prepare(text).all(...values)
  }
  let count = 0
  const numbered = text.replaceAll('?', () => `$${++count}`)
  const url = readFileSync(join(directory, 'store.url'), 'utf8')
  let rows: Record<string, unknown>[] = []
  await administer(url, async (admin) => {
    rows = (await admin.query(numbered, [...values])).rows
  })
  return rows
}

/** What the audit log of such a broker says of events like this, oldest first. */
export async function auditOf(directory: string, like: string): Promise<Record<string, unknown>[]> {
  const select = 'SELECT entry FROM audit WHERE event LIKE ? ORDER BY seq'
  return (await querySql(directory, select, [like])).map(({ entry }) => JSON.parse(String(entry)))
}

/** Removes what {@link storeIn} made beside files, and copies of it. */
export async function dropStore(directory: string): Promise<void> {
  const server = inject('storeServer')
  if (server === undefined) return
  await administer(server, async (admin) => {
    const { rows } = await admin.query<{ name: string }>(
      'SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1)',
      [basename(directory)],
    )
    for (const { name } of rows) await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`)
  })
}

async function administer(url: string, work: (admin: pg.Client) => Promise<void>): Promise<void> {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  try {
    await work(admin)
  } finally {
    await admin.end()
  }
}
