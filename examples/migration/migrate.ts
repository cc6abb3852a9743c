/**
 * A schema migration: runs the SQL files of migrations/ that the database hasn't seen, in order, each
 * in a transaction with its line in `schema_migrations`. Its login comes from the usual variables
 * (PGHOST, PGUSER, PGPASSWORD, …), which `jit exec` sets for as long as this runs.
 *
 *   jit exec --env dev --task migrate -- node migrate.ts
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'

const FOLDER = join(import.meta.dirname, 'migrations')
/** Any number, the same for all who migrate this database: one at a time. */
const LOCK = 7_420_001

async function appliedBefore(client: pg.Client): Promise<Set<string>> {
  await client.query(
    'CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())',
  )
  const { rows } = await client.query<{ name: string }>('SELECT name FROM schema_migrations')
  return new Set(rows.map(({ name }) => name))
}

async function apply(client: pg.Client, name: string): Promise<void> {
  const sql = await readFile(join(FOLDER, name), 'utf8')
  await client.query('BEGIN')
  try {
    await client.query(sql)
    await client.query('INSERT INTO schema_migrations (name) VALUES ($1)', [name])
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw new Error(`${name} failed, and nothing of it was kept`, { cause: error })
  }
  process.stdout.write(`applied ${name}\n`)
}

const client = new pg.Client()
await client.connect()
try {
  await client.query('SELECT pg_advisory_lock($1)', [LOCK])
  const applied = await appliedBefore(client)
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).sort()
  const missing = files.filter((name) => !applied.has(name))
  for (const name of missing) await apply(client, name)
  process.stdout.write(`${files.length} migrations, ${missing.length} applied now\n`)
} finally {
  await client.end()
}
