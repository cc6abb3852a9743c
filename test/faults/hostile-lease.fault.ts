import pg from 'pg'
import { expect, test } from 'vitest'
import { Database } from '../servers/database.ts'
import { Client, type Holding } from './client.ts'
import { secondsUntil } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted, runs } from './tally.ts'

const AT_ONCE = 5
/** Seconds that its sign-ins ask the server to sleep, unseen. */
const ASLEEP = 8
/** The password that a lease gives itself. */
const CHANGED = 'mine'

test.each(STORES)(
  'a lease that fights back with all it has at once: no session, no right and no rise is left, its objects are where they belong (%s)',
  async (store) => {
    await using stage = await Stage.set({
      store,
      settings: { max_prepared_transactions: '50', max_connections: '200' },
    })
    await stage.start()
    await stage.database.query('CREATE DATABASE other')
    const client = new Client(await stage.person('dev'))
    const leases = runs(10)
    const seen = { woke: 0, retried: 0 }
    for (let done = 0; done < leases; done += AT_ONCE) {
      const many = Math.min(AT_ONCE, leases - done)
      const holdings = await Promise.all(Array.from({ length: many }, () => client.ask()))
      await Promise.all(holdings.map((holding, at) => fight(holding, done + at)))
      const sleepers = holdings.map(sleeper)
      const areAsleep = async () => (await asleep(stage)) === many
      await secondsUntil(areAsleep, { within: ASLEEP, what: 'all sign-ins asleep' })
      const receipts = await Promise.all(holdings.map((holding) => holding.release()))
      for (const receipt of receipts) {
        if (typeof receipt === 'string' || receipt.state !== 'revoked') seen.retried += 1
      }
      for (const fate of await Promise.all(sleepers)) if (fate === 'woke') seen.woke += 1
    }
    await stage.database.empty()
    const left = await leftOf(stage)
    counted({ fault: 'a lease that fights back', store, figures: { leases, ...seen, ...left } })
    expect(seen.woke).toBe(0)
    expect(left).toEqual({
      sessions: 0,
      prepared: 0,
      functions: 0,
      'made later': 0,
      'rights of nobody': 0,
      'tables at the owner': 2 * leases,
      'large objects at the owner': 2 * leases,
      elsewhere: 0,
    })
  },
)

/** Everything a lease may try, side by side. */
async function fight({ url }: Holding, number: number): Promise<void> {
  const own = await signIn(url)
  await own.query(`SET ROLE NONE;
    CREATE TABLE own_${number} (id serial);
    SELECT lo_create(${10_000 + number});
    CREATE FUNCTION rise_${number}() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
    GRANT EXECUTE ON FUNCTION rise_${number}() TO PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
    CREATE TABLE shared_${number} (id int)`)
  const assumed = await signIn(url)
  await assumed.query(`SET ROLE migrator; BEGIN; CREATE TABLE later_${number} ();
    PREPARE TRANSACTION 'later_${number}'`)
  const locking = await signIn(url)
  await locking.query(`SET ROLE NONE; BEGIN; LOCK TABLE own_${number}`)
  locking.query('SELECT pg_sleep(600)').catch(() => {})
  const elsewhere = new URL(url)
  elsewhere.pathname = 'other'
  const other = await signIn(elsewhere.href)
  await other.query(`SET ROLE NONE; SELECT lo_create(${20_000 + number});
    ALTER ROLE CURRENT_USER PASSWORD '${CHANGED}'`)
}

/** Signs in and asks the server to sleep before it is seen anywhere. */
async function sleeper({ url }: Holding): Promise<string> {
  const changed = new URL(url)
  changed.password = CHANGED
  try {
    const client = await signIn(changed.href, `-c post_auth_delay=${ASLEEP} -c role=migrator`)
    await client.query('CREATE TABLE woke ()')
    return 'woke'
  } catch {
    return 'ended'
  }
}

async function signIn(url: string, options?: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, ...(options ? { options } : {}) })
  client.on('error', () => {})
  await client.connect()
  return client
}

/** Sign-ins that have begun, and that no view shows the user of. */
async function asleep({ database }: Stage): Promise<number> {
  const [row] = await database.query<{ count: number }>(`SELECT count(*)::int FROM pg_locks l
    LEFT JOIN pg_stat_activity a USING (pid) WHERE locktype = 'virtualxid' AND a.usesysid IS NULL
      AND coalesce(a.backend_type, 'client backend') = 'client backend'`)
  return row?.count ?? 0
}

const LARGE_OBJECTS = `SELECT count(*) FILTER (WHERE lomowner = 'migrator'::regrole)::int AS owned,
  count(*) FILTER (WHERE lomowner <> 'migrator'::regrole)::int AS others FROM pg_largeobject_metadata`

/** What is left of leases that are over, and where. */
async function leftOf({ database, target }: Stage): Promise<Record<string, number>> {
  const [here] = await database.query<Record<string, number>>(`SELECT
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
      AND (usename IS NULL OR usename ~ '^j[a-z0-9]{31}$'))::int AS sessions,
    (SELECT count(*) FROM pg_prepared_xacts)::int AS prepared,
    (SELECT count(*) FROM pg_proc WHERE proname LIKE 'rise%')::int AS functions,
    (SELECT count(*) FROM pg_class WHERE relname LIKE 'later%' OR relname = 'woke')::int AS "made later",
    (SELECT count(*) FROM pg_class, aclexplode(relacl) acl WHERE acl.grantee <> 0
      AND acl.grantee NOT IN (SELECT oid FROM pg_roles))::int
    + (SELECT count(*) FROM pg_default_acl WHERE defaclrole <> 'migrator'::regrole)::int AS "rights of nobody",
    (SELECT count(*) FROM pg_tables WHERE tablename ~ '^(own|shared)_' AND tableowner = 'migrator')::int
      AS "tables at the owner",
    (SELECT count(*) FROM pg_tables WHERE tablename ~ '^(own|shared)_' AND tableowner <> 'migrator')::int
      AS elsewhere`)
  const [large] = await database.query<{ owned: number; others: number }>(LARGE_OBJECTS)
  await using elsewhere = new Database(target.url({ database: 'other' }))
  const [there] = await elsewhere.query<{ owned: number; others: number }>(LARGE_OBJECTS)
  const sum = (what: 'owned' | 'others') => (large?.[what] ?? 0) + (there?.[what] ?? 0)
  return {
    ...here,
    'large objects at the owner': sum('owned'),
    elsewhere: (here?.elsewhere ?? 0) + sum('others'),
  }
}
