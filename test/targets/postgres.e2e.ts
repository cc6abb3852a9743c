import { existsSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leaseHandle, newId } from '../../src/lib/handle.ts'
import type { TaskRoles } from '../../src/targets/postgres/config.ts'
import { postgresKind } from '../../src/targets/postgres.ts'
import type { LeaseIntent, LeaseToRevoke, Minted, Target } from '../../src/targets/target.ts'
import { Wire } from '../faults/wire.ts'
import { type PostgresServer, startPostgres } from '../servers/postgres.ts'

const MINUTE = 60_000
const DEBIAN_15 = '/usr/lib/postgresql/15/bin'
const LEDGER = 'abcde'
const never = new AbortController().signal
const TASKS: Record<string, TaskRoles> = {
  deploy: { roles: ['migrator'], owner: 'migrator' },
  plan: { roles: ['readonly'] },
  build: { roles: ['builder'] },
}
const SETUP = `
  CREATE ROLE migrator; CREATE ROLE readonly; CREATE ROLE builder; CREATE ROLE standing LOGIN PASSWORD 'standing';
  CREATE ROLE admin LOGIN CREATEROLE PASSWORD 'admin';
  GRANT pg_signal_backend TO admin;
  GRANT migrator, readonly, builder TO admin WITH ADMIN OPTION;
  CREATE TABLE item (id int); INSERT INTO item VALUES (1);
  ALTER TABLE item OWNER TO migrator; GRANT SELECT ON item TO readonly;
  GRANT CREATE ON SCHEMA public TO migrator, builder;
`

interface Lease {
  readonly intent: LeaseIntent
  readonly minted: Minted
  readonly toRevoke: LeaseToRevoke
}

function intend(task: string, mintBy = Date.now() + MINUTE): LeaseIntent {
  return {
    handle: leaseHandle(LEDGER, newId(Date.now())),
    mintBy,
    expiresAt: Date.now() + 15 * MINUTE,
    delivery: 'env',
    grant: {
      id: 'g_1',
      principal: { kind: 'human', id: 'dana', name: 'dana', groups: [] },
      environment: 'dev',
      task,
      signed: { repository: '', branch: '', commit: '' },
    },
  }
}

function toRevoke(intent: LeaseIntent, minted?: Minted): LeaseToRevoke {
  const { handle, expiresAt, mintBy } = intent
  const externalId = minted?.externalId === undefined ? {} : { externalId: minted.externalId }
  return { handle, expiresAt, mintBy, confirmed: minted !== undefined, ...externalId }
}

function makeTarget(url: string, tasks: Record<string, TaskRoles> = TASKS): Target {
  return postgresKind.create(
    { admin: 'env:ADMIN', tasks },
    {
      name: 'shop-db',
      environment: 'dev',
      resolveReference: () => url,
      signGrantToken: async () => '',
      now: Date.now,
    },
  )
}

async function connect(url: string, options?: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, ...(options ? { options } : {}) })
  client.on('error', () => {})
  await client.connect()
  return client
}

/** Whether the connection was ended by the server, soon. */
async function isEnded(client: pg.Client): Promise<boolean> {
  return client.query('SELECT 1').then(
    () => false,
    () => true,
  )
}

const SERVERS = [
  { title: 'PostgreSQL 18, superuser', admin: 'postgres', binaries: undefined },
  { title: 'PostgreSQL 18, CREATEROLE', admin: 'admin', binaries: undefined },
  { title: 'PostgreSQL 15, CREATEROLE', admin: 'admin', binaries: DEBIAN_15 },
]

describe.each(SERVERS)('$title', ({ admin, binaries }) => {
  // Where it is missing only CI insists on it.
  const absent = binaries !== undefined && !existsSync(binaries) && !process.env.CI
  describe.skipIf(absent)('lease', () => {
    let server: PostgresServer
    let target: Target
    let dba: pg.Client

    beforeAll(async () => {
      server = await startPostgres({
        settings: { log_statement: 'all' },
        ...(binaries ? { binaries } : {}),
      })
      dba = await connect(server.url())
      await dba.query(SETUP)
      await dba.query('CREATE DATABASE other')
      target = makeTarget(adminUrl())
    })
    afterAll(async () => {
      await target?.close()
      await dba?.end()
      await server?.stop()
    })

    function adminUrl(): string {
      return admin === 'postgres' ? server.url() : server.url({ user: admin, password: admin })
    }

    async function mint(task = 'deploy', change: Partial<LeaseIntent> = {}): Promise<Lease> {
      const intent = { ...intend(task), ...change }
      const minted = await target.mint(intent, never)
      return { intent, minted, toRevoke: toRevoke(intent, minted) }
    }

    function open({ minted }: Lease, options?: string, database?: string): Promise<pg.Client> {
      const url = new URL(minted.credential.values.url ?? '')
      if (database) url.pathname = database
      return connect(url.href, options)
    }

    async function value(sql: string): Promise<unknown> {
      const { rows } = await dba.query({ text: sql, rowMode: 'array' })
      return rows[0]?.[0]
    }

    async function expectGone(lease: Lease): Promise<void> {
      const count = `SELECT count(*)::int FROM pg_roles WHERE rolname = '${lease.intent.handle}'`
      expect(await value(count)).toBe(0)
      await expect(open(lease)).rejects.toThrow(/authentication failed|does not exist/)
    }

    async function revoke(lease: Lease) {
      return target.revoke(lease.toRevoke, never)
    }

    test('signs in, with the rights of its task and no others, and ends', async () => {
      const lease = await mint('plan')
      const client = await open(lease)
      expect((await client.query('SELECT id FROM item')).rows).toEqual([{ id: 1 }])
      await expect(client.query('DELETE FROM item')).rejects.toThrow(/permission denied/)
      await client.end()
      expect(await revoke(lease)).toMatchObject({ kind: 'revoked' })
      await expectGone(lease)
    })

    test('what tools read names the lease', async () => {
      const lease = await mint()
      const { env, values } = lease.minted.credential
      expect(Object.keys(env).sort()).toEqual([...target.variables].sort())
      expect(Object.keys(values).sort()).toEqual([...postgresKind.valueNames].sort())
      expect(env.PGUSER).toBe(lease.intent.handle)
      await revoke(lease)
    })

    test('for a proxy it signs in with what comes beside the templates', async () => {
      const lease = await mint('plan', { delivery: 'proxy' })
      const { upstream, ...rest } = lease.minted.credential
      if (upstream?.kind !== 'postgres') throw new Error('expected an upstream')
      const { host, port, user, password, database } = upstream
      const client = new pg.Client({ host, port, user, password, database })
      await client.connect()
      expect((await client.query('SELECT id FROM item')).rows).toEqual([{ id: 1 }])
      await client.end()
      expect(rest.env.PGUSER).toBe('{{user}}')
      expect(rest.unset).toContain('PGPASSWORD')
      expect(JSON.stringify(rest)).not.toContain(password)
      await revoke(lease)
    })

    test('a session open at revoke is ended', async () => {
      const lease = await mint()
      const client = await open(lease)
      expect(await revoke(lease)).toEqual({ kind: 'revoked', detail: 'sessions ended: 1' })
      expect(await isEnded(client)).toBe(true)
      await expectGone(lease)
    })

    test('many are disconnected together: no session goes on and none begins, save of one that is held up; each is revoked all the same', async () => {
      const leases = await Promise.all([mint(), mint(), mint()])
      const [first, second, held] = leases as [Lease, Lease, Lease]
      const sessions = await Promise.all([open(first), open(second)])
      const inTheWay = await connect(server.url())
      await inTheWay.query(`BEGIN; ALTER ROLE "${held.intent.handle}" CONNECTION LIMIT 3`)
      const gone = toRevoke(intend('plan'))
      await target.disconnect?.([...leases.map((lease) => lease.toRevoke), gone], never)
      expect(await Promise.all(sessions.map(isEnded))).toEqual([true, true])
      for (const lease of [first, second]) {
        await expect(open(lease)).rejects.toThrow(/not permitted to log in/)
      }
      await inTheWay.query('ROLLBACK')
      await inTheWay.end()
      await (await open(held)).end()
      for (const lease of leases) {
        expect(await revoke(lease)).toMatchObject({ kind: 'revoked' })
        await expectGone(lease)
      }
    })

    test('a session in the midst of a transaction and a long statement is ended', async () => {
      const lease = await mint()
      const client = await open(lease)
      await client.query('BEGIN; LOCK TABLE item')
      const sleeping = client.query('SELECT pg_sleep(600)').catch((error: Error) => error.message)
      expect(await revoke(lease)).toMatchObject({ kind: 'revoked' })
      expect(await sleeping).toMatch(/terminat/)
      await expectGone(lease)
    })

    test('a sign-in asleep in post_auth_delay never wakes', async () => {
      const lease = await mint()
      const sleeper = open(lease, '-c post_auth_delay=6 -c role=migrator')
        .then((client) => client.query('CREATE TABLE woke ()'))
        .then(
          () => 'woke',
          () => 'ended',
        )
      await until(async () => (await starting()) > 0)
      expect(await revoke(lease)).toMatchObject({ kind: 'revoked' })
      expect(await sleeper).toBe('ended')
      expect(await value("SELECT to_regclass('woke')")).toBeNull()
      await expectGone(lease)
    })

    async function starting(): Promise<number> {
      return Number(
        await value(`SELECT count(*) FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
          WHERE locktype = 'virtualxid' AND a.usesysid IS NULL`),
      )
    }

    test('a session that did SET ROLE is ended, even when its role was dropped before', async () => {
      const lease = await mint()
      const client = await open(lease)
      await client.query('SET ROLE migrator')
      await dba.query(`DROP ROLE ${lease.intent.handle}`)
      expect(await isEnded(client)).toBe(false)
      expect(await revoke(lease)).toEqual({
        kind: 'revoked',
        detail: 'the role was already gone, sessions ended: 1',
      })
      expect(await isEnded(client)).toBe(true)
    })

    test.each(['SET ROLE migrator', 'SET ROLE NONE'])(
      'a transaction prepared after %s is rolled back',
      async (role) => {
        const lease = await mint()
        const client = await open(lease)
        await client.query(`${role}; BEGIN; CREATE TABLE later (); PREPARE TRANSACTION 'later'`)
        await client.end()
        const outcome = await revoke(lease)
        expect(outcome).not.toHaveProperty('cleanup')
        expect(await value('SELECT count(*)::int FROM pg_prepared_xacts')).toBe(0)
        expect(await value("SELECT to_regclass('later')")).toBeNull()
        await expectGone(lease)
      },
    )

    test('a transaction that a standing login may have prepared is left and told', async () => {
      await dba.query('GRANT migrator TO standing')
      const lease = await mint()
      const client = await open(lease)
      await client.query("BEGIN; CREATE TABLE theirs (); PREPARE TRANSACTION 'theirs'")
      await client.end()
      expect(await revoke(lease)).toMatchObject({ detail: expect.stringContaining('theirs') })
      await expectGone(lease)
      await dba.query("ROLLBACK PREPARED 'theirs'")
      await dba.query('REVOKE migrator FROM standing')
    })

    test('what the task makes belongs to its owner and stays', async () => {
      const lease = await mint()
      const client = await open(lease)
      await client.query(
        'CREATE TABLE made (id serial); CREATE TYPE colour AS ENUM (); CREATE VIEW seen AS TABLE made',
      )
      await client.end()
      expect(await revoke(lease)).toEqual({ kind: 'revoked' })
      expect(await value("SELECT tableowner FROM pg_tables WHERE tablename = 'made'")).toBe(
        'migrator',
      )
      await dba.query('DROP VIEW seen; DROP TABLE made; DROP TYPE colour')
    })

    test('what it makes in its own name goes to the owner, its code is dropped', async () => {
      const lease = await mint()
      const client = await open(lease)
      await client.query(`SET ROLE NONE; CREATE TABLE own (id serial, at int); CREATE TYPE mood AS ENUM ('ok');
        CREATE FUNCTION rise() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
        GRANT EXECUTE ON FUNCTION rise() TO PUBLIC;
        CREATE FUNCTION rise(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE AGGREGATE risen(int) (SFUNC = int4pl, STYPE = int);
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
        GRANT SELECT ON own TO readonly; SELECT lo_create(4711)`)
      await client.end()
      expect(await revoke(lease)).toEqual({ kind: 'revoked' })
      expect(await value("SELECT tableowner FROM pg_tables WHERE tablename = 'own'")).toBe(
        'migrator',
      )
      expect(
        await value("SELECT count(*)::int FROM pg_proc WHERE proname IN ('rise', 'risen')"),
      ).toBe(0)
      expect(await value('SELECT lomowner::regrole::text FROM pg_largeobject_metadata')).toBe(
        'migrator',
      )
      expect(await value('SELECT count(*)::int FROM pg_default_acl')).toBe(0)
      await expectGone(lease)
      await dba.query('DROP TABLE own; DROP TYPE mood; SELECT lo_unlink(4711)')
    })

    test('without an owner nothing of it stays', async () => {
      const lease = await mint('build')
      const client = await open(lease)
      await client.query(`CREATE TABLE scratch (); SELECT lo_create(4712);
        CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'`)
      await client.end()
      expect(await revoke(lease)).toEqual({ kind: 'revoked' })
      expect(await value("SELECT to_regclass('scratch')")).toBeNull()
      expect(await value('SELECT count(*)::int FROM pg_largeobject_metadata')).toBe(0)
      await expectGone(lease)
    })

    test('what it leaves in another database is cleared as well', async () => {
      const lease = await mint('build')
      const client = await open(lease, undefined, 'other')
      await client.query('SELECT lo_create(4713)')
      await client.end()
      expect(await revoke(lease)).toEqual({ kind: 'revoked' })
      await expectGone(lease)
    })

    test('what others built on its code is theirs: the role stays, closed, until a person looked', async () => {
      const lease = await mint('build')
      const client = await open(lease)
      await client.query("CREATE FUNCTION base() RETURNS int LANGUAGE sql AS 'SELECT 1'")
      await dba.query('CREATE VIEW built AS SELECT base()')
      expect(await revoke(lease)).toMatchObject({ kind: 'revoked', cleanup: expect.any(String) })
      expect(await isEnded(client)).toBe(true)
      await expect(open(lease)).rejects.toThrow(/not permitted to log in/)
      expect(
        await value(
          `SELECT count(*)::int FROM pg_auth_members WHERE member = '${lease.intent.handle}'::regrole`,
        ),
      ).toBe(0)
      await dba.query('DROP VIEW built')
      expect(await revoke(lease)).toEqual({ kind: 'revoked' })
      await expectGone(lease)
    })

    test('it can give itself no longer life, no right and no other owner', async () => {
      const lease = await mint()
      const { handle } = lease.intent
      const client = await open(lease)
      await client.query('SET ROLE NONE')
      for (const sql of [
        `ALTER ROLE ${handle} VALID UNTIL 'infinity'`,
        `ALTER ROLE ${handle} CONNECTION LIMIT -1`,
        `ALTER ROLE ${handle} CREATEROLE`,
        `COMMENT ON ROLE ${handle} IS 'jit lease, owner: postgres'`,
        `GRANT migrator TO standing`,
        `GRANT ${handle} TO standing`,
      ]) {
        await expect(client.query(sql)).rejects.toThrow(/permission denied|must be|must have/)
      }
      // A role may change its own password and settings: revoking holds nevertheless.
      await client.query(`ALTER ROLE ${handle} PASSWORD 'mine'; ALTER ROLE ${handle} SET role = 'postgres';
        CREATE TABLE trap ()`)
      expect(await revoke(lease)).toMatchObject({ kind: 'revoked' })
      expect(await value("SELECT tableowner FROM pg_tables WHERE tablename = 'trap'")).toBe(
        'migrator',
      )
      await expect(connect(server.url({ user: handle, password: 'mine' }))).rejects.toThrow()
      await expectGone(lease)
      await dba.query('DROP TABLE trap')
    })

    test('what a superuser gave it beside us does not hold up its revocation', async () => {
      const lease = await mint()
      await dba.query(
        `GRANT builder TO ${lease.intent.handle}; GRANT ${lease.intent.handle} TO standing`,
      )
      const client = await open(lease)
      expect(await revoke(lease)).toEqual({ kind: 'revoked', detail: 'sessions ended: 1' })
      expect(await isEnded(client)).toBe(true)
      await expectGone(lease)
    })

    test('it cannot hold up its revocation with locks', async () => {
      const lease = await mint()
      const { handle } = lease.intent
      const client = await open(lease)
      await client.query(`SET ROLE NONE; SELECT pg_advisory_lock(hashtextextended('${handle}', 0));
        BEGIN; ALTER ROLE ${handle} PASSWORD 'held'`)
      expect(await revoke(lease)).toMatchObject({ kind: 'revoked' })
      expect(await isEnded(client)).toBe(true)
      await expectGone(lease)
    })

    test('it cannot hold up its revocation with a prepared change of itself', async () => {
      const lease = await mint()
      const client = await open(lease)
      await client.query(`SET ROLE NONE; BEGIN; ALTER ROLE ${lease.intent.handle} PASSWORD 'held'; SET ROLE migrator;
        PREPARE TRANSACTION 'held'`)
      const outcome = await revoke(lease)
      expect(outcome).toMatchObject({ kind: 'revoked' })
      expect(outcome).not.toHaveProperty('cleanup')
      await expectGone(lease)
    })

    test('its owner cannot turn the settings of the database against us', async () => {
      await dba.query('ALTER DATABASE other OWNER TO migrator')
      const url = new URL(adminUrl())
      url.pathname = 'other'
      const lease = await mint()
      const client = await open(lease, undefined, 'other')
      await client.query(`CREATE SCHEMA evil; ALTER DATABASE other SET search_path = evil, pg_catalog;
        ALTER DATABASE other SET default_transaction_read_only = on; ALTER DATABASE other SET role = migrator;
        ALTER DATABASE other SET statement_timeout = 1; ALTER DATABASE other SET default_transaction_isolation = serializable`)
      const elsewhere = makeTarget(url.href)
      expect(await elsewhere.revoke(lease.toRevoke, never)).toMatchObject({ kind: 'revoked' })
      await elsewhere.close()
      await expectGone(lease)
    })

    test('past mint_by nothing is made', async () => {
      const intent = intend('deploy', Date.now() - 1)
      await expect(target.mint(intent, never)).rejects.toMatchObject({ code: 'target_refused' })
      expect(
        await value(`SELECT count(*)::int FROM pg_roles WHERE rolname = '${intent.handle}'`),
      ).toBe(0)
    })

    test('an absent, unconfirmed lease is unsettled until nothing can come any more', async () => {
      const open = intend('deploy')
      expect(await target.revoke(toRevoke(open), never)).toEqual({ kind: 'unsettled' })
      const closed = intend('deploy', Date.now() - 5_000)
      expect(await target.revoke(toRevoke(closed), never)).toMatchObject({ kind: 'revoked' })
    })

    test('revoking again is success', async () => {
      const lease = await mint()
      await revoke(lease)
      expect(await revoke(lease)).toEqual({ kind: 'revoked', detail: 'the role was already gone' })
    })

    test('revoking while the mint is in flight leaves nothing, once it says so', async () => {
      async function race(delay: number): Promise<string> {
        const intent = intend('deploy', Date.now() + 300)
        const cut = new AbortController()
        const minting = target.mint(intent, cut.signal).catch(() => undefined)
        await wait(delay)
        cut.abort(new Error('cut'))
        await until(async () => (await target.revoke(toRevoke(intent), never)).kind === 'revoked')
        await minting
        return intent.handle
      }
      const handles = await Promise.all(Array.from({ length: 24 }, (_, delay) => race(delay)))
      expect(
        await value(
          `SELECT count(*)::int FROM pg_roles WHERE rolname = ANY ('{${handles.join()}}')`,
        ),
      ).toBe(0)
    })

    describe('a deadline that is moved', () => {
      const later = () => Date.now() + 30 * MINUTE
      const extend = ({ intent, minted }: Lease, until: number) => {
        const { externalId = '' } = minted
        return target.extend?.({ handle: intent.handle, externalId }, until, never)
      }
      const validUntil = async ({ intent }: Lease) =>
        Number(
          await value(
            `SELECT extract(epoch FROM rolvaliduntil) * 1000 FROM pg_roles WHERE rolname = '${intent.handle}'`,
          ),
        )

      test('lets the same credential sign in until then, and back again', async () => {
        const lease = await mint()
        const until = later()
        await extend(lease, until)
        expect(await validUntil(lease)).toBe(until)
        await (await open(lease)).end()
        await extend(lease, lease.intent.expiresAt)
        expect(await validUntil(lease)).toBe(lease.intent.expiresAt)
        await revoke(lease)
        await expectGone(lease)
      })

      test('of a role that is gone is refused, and makes none', async () => {
        const lease = await mint()
        await revoke(lease)
        await expect(extend(lease, later())).rejects.toThrow(/the role is gone/)
        await expectGone(lease)
      })

      test('of a role that a revocation has closed is refused: the revocation wins', async () => {
        const lease = await mint()
        await dba.query(`ALTER ROLE ${lease.intent.handle} NOLOGIN`)
        await expect(extend(lease, later())).rejects.toMatchObject({
          code: 'target_refused',
          message: expect.stringContaining('being revoked'),
        })
        expect(await validUntil(lease)).toBe(lease.intent.expiresAt)
        await revoke(lease)
      })

      test("of a role that isn't the one that was made is refused", async () => {
        const lease = await mint()
        const { handle } = lease.intent
        await expect(target.extend?.({ handle, externalId: '1' }, later(), never)).rejects.toThrow(
          /not the one that was made/,
        )
        await expect(target.extend?.({ handle }, later(), never)).rejects.toThrow(
          /not the one that was made/,
        )
        await dba.query(`COMMENT ON ROLE ${handle} IS 'somebody else'`)
        await expect(extend(lease, later())).rejects.toThrow(/not the one that was made/)
        await revoke(lease)
      })

      test("by the server's clock nothing expired comes back, and no deadline is in its past", async () => {
        const lease = await mint()
        await expect(extend(lease, Date.now() - MINUTE)).rejects.toThrow(/past by this clock/)
        await dba.query(`ALTER ROLE ${lease.intent.handle} VALID UNTIL '2020-01-01'`)
        await expect(extend(lease, later())).rejects.toThrow(/has expired/)
        await revoke(lease)
      })

      test('while it is revoked comes before or not at all: nothing is left', async () => {
        const leases = await Promise.all(Array.from({ length: 16 }, () => mint()))
        await Promise.all(
          leases.map(async (lease, delay) => {
            const moved = wait(delay).then(() => extend(lease, later()))
            await Promise.all([revoke(lease), moved.catch(() => {})])
          }),
        )
        for (const lease of leases) await expectGone(lease)
      })
    })

    test('its password is in no log and no view of activity', async () => {
      const lease = await mint()
      const password = lease.minted.credential.values.password ?? ''
      const client = await open(lease)
      const seen = await dba.query('SELECT * FROM pg_stat_activity')
      expect(JSON.stringify(seen.rows)).not.toContain(password)
      await client.end()
      await revoke(lease)
      const log = await server.log()
      expect(log).toContain(lease.intent.handle)
      expect(log).not.toContain(password)
    })

    test('a sweep finds the roles of its own ledger only', async () => {
      const lease = await mint()
      await dba.query(
        `CREATE ROLE jabcde_somebody; CREATE ROLE ${leaseHandle('zzzzz', newId(Date.now()))}`,
      )
      const found: string[] = []
      for await (const handle of target.sweep?.(`j${LEDGER}`, never) ?? []) found.push(handle)
      expect(found).toEqual([lease.intent.handle])
      await revoke(lease)
    })

    test.each(['LOGIN', 'SUPERUSER', 'CREATEROLE', 'REPLICATION', 'BYPASSRLS'])(
      'a task whose role comes to one with %s is refused',
      async (right) => {
        await dba.query(`CREATE ROLE strong ${right}; CREATE ROLE weak; GRANT strong TO weak`)
        const risky = makeTarget(adminUrl(), { risky: { roles: ['weak'] } })
        await expect(risky.identity(never)).rejects.toMatchObject({ code: 'config_invalid' })
        await expect(risky.mint(intend('risky'), never)).rejects.toMatchObject({
          code: 'config_invalid',
        })
        await risky.close()
        await dba.query('DROP ROLE strong, weak')
      },
    )

    test('a role that becomes too strong later is refused at the next mint', async () => {
      await target.identity(never)
      await dba.query('ALTER ROLE readonly LOGIN')
      await expect(target.mint(intend('plan'), never)).rejects.toMatchObject({
        code: 'target_refused',
      })
      await dba.query('ALTER ROLE readonly NOLOGIN')
    })

    test('it is known by its system and database', async () => {
      const identity = await target.identity(never)
      expect(identity).toMatch(/^\d+\/\d+$/)
      const url = new URL(adminUrl())
      url.pathname = 'other'
      const elsewhere = makeTarget(url.href)
      expect(await elsewhere.identity(never)).not.toBe(identity)
      await elsewhere.close()
    })

    test('a missing role and a wrong password are told without a secret', async () => {
      const nobody = makeTarget(adminUrl(), { x: { roles: ['nobody'] } })
      await expect(nobody.identity(never)).rejects.toThrow('target shop-db: no such role: nobody')
      await nobody.close()
      const wrong = makeTarget(server.url({ user: 'admin', password: 'canary' }))
      await expect(wrong.identity(never)).rejects.toThrow(/^(?!.*canary).*authentication failed/)
      await wrong.close()
    })

    test('a rehearsal does what each task takes, and leaves nothing', async () => {
      const roles = 'SELECT count(*)::int FROM pg_roles'
      const before = await value(roles)
      await target.rehearse?.(never)
      expect(await value(roles)).toBe(before)
      const unable = makeTarget(adminUrl(), { x: { roles: ['nobody'] } })
      await expect(unable.rehearse?.(never)).rejects.toThrow('no such role: nobody')
      await unable.close()
    })

    test('many at once leave nothing', async () => {
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          const lease = await mint()
          expect(await revoke(lease)).toMatchObject({ kind: 'revoked' })
        }),
      )
      expect(
        await value(`SELECT count(*)::int FROM pg_roles WHERE rolname LIKE 'j${LEDGER}0%'`),
      ).toBe(0)
    })
  })
})

test('a server that is not there is unreachable, at once', async () => {
  const target = makeTarget('postgres://admin:canary@127.0.0.1:1/shop')
  await expect(target.identity(never)).rejects.toMatchObject({ code: 'target_unreachable' })
  await target.close()
})

test('a connection that is reset in the middle of a question is unreachable, and nothing else ends', async () => {
  await using server = await startPostgres()
  await using wire = await Wire.start()
  wire.to([server.port])
  const dba = await connect(server.url())
  await dba.query('CREATE ROLE migrator')
  await dba.end()
  const url = new URL(server.url())
  url.port = String(wire.port)
  const target = makeTarget(url.href, { deploy: { roles: ['migrator'] } })
  await target.identity(never)
  wire.cut()
  const asked = target.identity(never)
  wire.reset()
  await expect(asked).rejects.toMatchObject({ code: 'target_unreachable' })
  wire.restore()
  await target.identity(never)
  await target.close()
})

test('an administrator without the rights is told which', async () => {
  await using server = await startPostgres()
  const dba = await connect(server.url())
  await dba.query(`CREATE ROLE poor LOGIN PASSWORD 'poor'; CREATE ROLE migrator`)
  const target = makeTarget(server.url({ user: 'poor', password: 'poor' }), {
    deploy: { roles: ['migrator'] },
  })
  const steps = [
    [/lacks CREATEROLE/, 'ALTER ROLE poor CREATEROLE'],
    [/cannot end sessions/, 'GRANT pg_signal_backend TO poor'],
    [/may not hand out migrator/, 'GRANT migrator TO poor WITH ADMIN OPTION'],
  ] as const
  for (const [problem, remedy] of steps) {
    await expect(target.identity(never)).rejects.toThrow(problem)
    await dba.query(remedy)
  }
  await expect(target.identity(never)).resolves.toMatch(/\//)
  await target.close()
  await dba.end()
})

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 10_000; !(await condition()); await wait(5)) {
    if (Date.now() > deadline) throw new Error('it did not come to be')
  }
}
