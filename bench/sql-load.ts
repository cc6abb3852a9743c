/**
 * The statements of a grant cycle sent to PostgreSQL directly, a connection for each cycle at once,
 * in a process of its own: what the database can do when nobody asks, decides or remembers.
 */
import pg from 'pg'
import { leaseHandle, newId } from '../src/lib/handle.ts'
import { closeSql, dropIfIdleSql } from '../src/targets/postgres/closing.ts'
import { mintSql } from '../src/targets/postgres/mint.ts'
import { newPassword, scramVerifier } from '../src/targets/postgres/scram.ts'
import { type Facts, factsQuery, readFacts } from '../src/targets/postgres/server.ts'
import { readLoad, repeat } from './load.ts'

/** As the development control plane's `dev-db` has it for `deploy`. */
const TASK = { roles: ['readonly', 'migrator'], owner: 'migrator' }
const LEDGER = 'bench'
const HOUR = 3_600_000

async function lastRows(client: pg.Client, sql: string): Promise<Record<string, unknown>[]> {
  const results: unknown = await client.query(sql)
  const last: unknown = Array.isArray(results) ? results.at(-1) : results
  return (last as pg.QueryResult).rows
}

async function cycle(client: pg.Client, facts: Facts): Promise<void> {
  const now = Date.now()
  const handle = leaseHandle(LEDGER, newId(now))
  const role = { handle, verifier, mintBy: now + HOUR, expiresAt: now + HOUR, task: TASK }
  const [minted] = await lastRows(client, mintSql(role, facts))
  await client.query(closeSql(handle, [Number(minted?.oid)]))
  const [dropped] = await lastRows(client, dropIfIdleSql(handle, [Number(minted?.oid)]))
  if (dropped?.gone !== true) throw new Error('the role is still there')
}

const load = readLoad(process.argv.slice(2))
// One for all: computing it is the broker's work, not the database's.
const verifier = await scramVerifier(newPassword())
const clients = await Promise.all(
  Array.from({ length: load.atOnce }, async () => {
    const client = new pg.Client({ connectionString: process.env.BENCH_POSTGRES_URL })
    await client.connect()
    await client.query('SET search_path = pg_catalog; SET jit = off')
    return client
  }),
)
const [first] = clients
if (!first) throw new Error('expected at least one at once')
const facts = readFacts(await lastRows(first, factsQuery(TASK.roles)), 'bench')
const result = await repeat(async (worker) => {
  const client = clients[worker]
  if (client) await cycle(client, facts)
}, load)
await Promise.all(clients.map((client) => client.end()))
process.stdout.write(JSON.stringify(result))
