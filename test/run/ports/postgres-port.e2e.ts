import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { localPorts } from '../../../src/run/ports/local-ports.ts'
import type { Ports } from '../../../src/run/ports/ports.ts'
import { absent as lacks } from '../../absent.ts'
import { Database } from '../../servers/database.ts'
import { type PostgresServer, startPostgres } from '../../servers/postgres.ts'
import { type Issued, issueCertificate } from './api.ts'
import { LEASE_ROLE, LOGIN, postgresCredential } from './credentials.ts'
import { runProgram } from './programs.ts'

const DEBIAN_15 = '/usr/lib/postgresql/15/bin'
const SERVERS = [
  { title: 'PostgreSQL 18', binaries: undefined },
  { title: 'PostgreSQL 15', binaries: DEBIAN_15 },
]

type Environment = Record<string, string>
let folder: string
let ports: Ports

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jit-ports-'))
  ports = localPorts({ folder })
})
afterEach(async () => {
  await ports.close()
  rmSync(folder, { recursive: true, force: true })
})

const psql = (env: Environment, ...args: string[]) =>
  runProgram('psql', ['--no-psqlrc', '--set=ON_ERROR_STOP=1', '--tuples-only', ...args], env)

async function clientOf(env: Environment): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: env.DATABASE_URL })
  client.on('error', () => {})
  await client.connect()
  return client
}

describe.each(SERVERS)('$title', ({ binaries }) => {
  const absent = binaries !== undefined && !existsSync(binaries) && !process.env.CI
  describe.skipIf(absent)('through the port', () => {
    let server: PostgresServer
    let dba: Database

    beforeAll(async () => {
      server = await startPostgres(binaries ? { binaries } : {})
      dba = new Database(server.url())
      await dba.query(LEASE_ROLE)
    })
    afterAll(async () => {
      await dba?.[Symbol.asyncDispose]()
      await server?.stop()
    })

    const deliver = async (lease = 'l1', upstream = {}) =>
      (await ports.deliver(postgresCredential({ port: server.port, ...upstream }, lease))).env

    const untilGone = async (application: string) => {
      const query = `SELECT FROM pg_stat_activity WHERE application_name = '${application}'`
      await expect.poll(() => dba.query(query)).toEqual([])
    }

    test.skipIf(lacks('psql'))(
      'psql asks, copies, listens and migrates without a password',
      async () => {
        const env = await deliver()
        expect(JSON.stringify(env)).not.toContain(LOGIN.password)
        const script = join(folder, 'migration.sql')
        writeFileSync(
          script,
          `BEGIN; CREATE TABLE item (id int, name text); CREATE INDEX ON item (id); COMMIT;
         INSERT INTO item SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) n;
         \\copy item TO '${folder}/items'
         TRUNCATE item;
         \\copy item FROM '${folder}/items'
         LISTEN news; NOTIFY news, 'heard';
         SELECT count(*), session_user FROM item; DROP TABLE item;`,
        )
        const { code, stdout, stderr } = await psql(env, '--file', script)
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
        expect(stdout).toContain(`20000 | ${LOGIN.user}`)
        expect(stdout).toContain('"heard"')
        expect(statSync(join(folder, 'items')).size).toBeGreaterThan(20_000_000)
      },
    )

    test.skipIf(lacks('psql'))('Ctrl-C in psql cancels its statement alone', async () => {
      const env = await deliver()
      const other = await clientOf(env)
      const slept = other.query('SELECT pg_sleep(0.5)')
      const child = spawn('psql', ['--no-psqlrc', '--command', 'SELECT pg_sleep(30)'], {
        env: { PATH: process.env.PATH ?? '', ...env },
      })
      let said = ''
      child.stderr.on('data', (chunk) => {
        said += chunk
      })
      const running = "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"
      await expect.poll(() => dba.query(running)).toHaveLength(1)
      child.kill('SIGINT')
      await once(child, 'close')
      expect(said).toContain('canceling statement due to user request')
      await slept
      await other.end()
    })

    test('a pool and pipelined queries of pg work', async () => {
      const env = await deliver()
      const pool = new pg.Pool({ connectionString: env.DATABASE_URL, max: 8 })
      const numbers = Array.from({ length: 200 }, (_, index) => index)
      const answers = await Promise.all(
        numbers.map((number) => pool.query('SELECT $1::int AS number', [number])),
      )
      expect(answers.map(({ rows }) => rows[0].number)).toEqual(numbers)
      await pool.end()
      const client = new pg.Client({
        connectionString: env.DATABASE_URL,
        application_name: 'piped',
        pipeline: true,
      } as pg.ClientConfig)
      await client.connect()
      const piped = await Promise.all(
        numbers.map((number) => client.query('SELECT $1::int AS number', [number])),
      )
      expect(piped.map(({ rows }) => rows[0].number)).toEqual(numbers)
      await client.end()
      await untilGone('piped')
    })

    test('what is not for the lease is refused in plain words', async () => {
      const env = await deliver()
      const asked = async (change: object) => {
        const { hostname, port } = new URL(env.DATABASE_URL ?? '')
        const { PGUSER: user = '', PGDATABASE: database = '' } = env
        const address = { host: hostname, port: Number(port), user, database, password: 'x' }
        const client = new pg.Client({ ...address, ...change })
        client.on('error', () => {})
        return client.connect().then(
          () => client.end(),
          ({ code, message }) => ({ code, message }),
        )
      }
      expect(await asked({ user: 'jit0' })).toMatchObject({ code: '28P01' })
      expect(await asked({ user: LOGIN.user, password: LOGIN.password })).toMatchObject({
        code: '28P01',
        message: 'no live grant has this user: it may have ended',
      })
      expect(await asked({ database: 'template1' })).toMatchObject({
        code: '3D000',
        message: 'shop-db: the grant is for database "postgres" alone',
      })
      expect(await asked({ replication: 'database' })).toMatchObject({ code: '42501' })
      expect(await asked({ application_name: 'mine' })).toBeUndefined()
    })

    test('the end of a lease ends its connections at once, idle or not, and no others', async () => {
      const env = await deliver('l1')
      const others = await clientOf(await deliver('l2'))
      const [idle, busy] = await Promise.all([clientOf(env), clientOf(env)])
      const told = once(idle, 'error')
      const slept = busy.query('SELECT pg_sleep(30)').catch((error: Error) => error)
      const sleeping = "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"
      await expect.poll(() => dba.query(sleeping)).toHaveLength(1)
      const started = performance.now()
      await ports.end('l1')
      expect((await told)[0]).toMatchObject({ code: '57P01' })
      expect(await slept).toBeInstanceOf(Error)
      expect(performance.now() - started).toBeLessThan(15_000)
      await expect(clientOf(env)).rejects.toMatchObject({ code: '28P01' })
      expect((await others.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
      await others.end()
    })

    test('a client that is killed leaves no connection at the server', async () => {
      const { PGHOST, PGPORT, PGUSER, PGDATABASE } = await deliver()
      const client = new pg.Client({
        host: PGHOST,
        port: Number(PGPORT),
        user: PGUSER,
        database: PGDATABASE,
        application_name: 'killed',
      } as pg.ClientConfig)
      client.on('error', () => {})
      await client.connect()
      ;(
        client as unknown as { connection: { stream: { destroy(): void } } }
      ).connection.stream.destroy()
      await untilGone('killed')
    })

    test("the server's own words come through, and never the password", async () => {
      await dba.query(`ALTER ROLE ${LOGIN.user} VALID UNTIL '2020-01-01'`)
      const expired = await clientOf(await deliver()).catch((error: Error) => error)
      await dba.query(`ALTER ROLE ${LOGIN.user} VALID UNTIL 'infinity'`)
      expect(expired).toMatchObject({ code: '28P01', message: expect.stringContaining(LOGIN.user) })
      expect(JSON.stringify(expired)).not.toContain(LOGIN.password)
    })

    test('a server that is not there is said as such', async () => {
      const gone = await clientOf(await deliver('l1', { port: 1 })).catch((error: Error) => error)
      expect(gone).toMatchObject({
        code: '08001',
        message: "shop-db: the server can't be reached (ECONNREFUSED)",
      })
    })
  })
})

describe('a server with TLS', () => {
  let server: PostgresServer
  let certificates: string
  let issued: Issued

  beforeAll(async () => {
    certificates = mkdtempSync(join(tmpdir(), 'jit-tls-'))
    issued = await issueCertificate('localhost')
    const [cert, key] = [join(certificates, 'server.crt'), join(certificates, 'server.key')]
    writeFileSync(cert, issued.cert)
    writeFileSync(key, issued.key, { mode: 0o600 })
    server = await startPostgres({
      settings: { ssl: 'on', ssl_cert_file: cert, ssl_key_file: key },
    })
    await using dba = new Database(server.url())
    await dba.query(LEASE_ROLE)
  })
  afterAll(async () => {
    await server?.stop()
    rmSync(certificates, { recursive: true, force: true })
  })

  const encrypted = async (upstream: object) => {
    const lease = postgresCredential({ port: server.port, host: 'localhost', ...upstream })
    const client = await clientOf((await ports.deliver(lease)).env)
    const query = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'
    const { rows } = await client.query<{ ssl: boolean }>(query)
    await client.end()
    return rows[0]?.ssl
  }

  test.each(['require', 'verify-ca', 'verify-full'] as const)(
    '%s is signed in to over TLS',
    async (sslmode) => {
      expect(await encrypted({ sslmode, ca: issued.ca })).toBe(true)
    },
  )

  test('require asks for no authority, and disable for no TLS', async () => {
    expect(await encrypted({ sslmode: 'require' })).toBe(true)
    expect(await encrypted({ sslmode: 'disable' })).toBe(false)
  })

  test('a server that only verify-full finds fault with is refused by it alone', async () => {
    const byAddress = { host: '127.0.0.1', ca: issued.ca }
    expect(await encrypted({ ...byAddress, sslmode: 'verify-ca' })).toBe(true)
    await expect(encrypted({ ...byAddress, sslmode: 'verify-full' })).rejects.toMatchObject({
      code: '08001',
      message: expect.stringContaining('ERR_TLS_CERT_ALTNAME_INVALID'),
    })
  })

  test('a server of another authority gets no sign-in', async () => {
    const { ca } = await issueCertificate('localhost')
    for (const sslmode of ['require', 'verify-ca', 'verify-full']) {
      await expect(encrypted({ sslmode, ca })).rejects.toMatchObject({ code: '08001' })
    }
  })

  test('a cancel request goes over TLS as well', async () => {
    const lease = postgresCredential({ port: server.port, host: 'localhost', sslmode: 'require' })
    const client = await clientOf((await ports.deliver(lease)).env)
    const slept = client.query('SELECT pg_sleep(30)').catch((error: Error) => error)
    const { connectionParameters, processID, secretKey } = client as unknown as Canceller
    const connection = connect(connectionParameters.port, connectionParameters.host)
    const request = Buffer.alloc(16)
    request.writeInt32BE(16)
    request.writeInt32BE(80_877_102, 4)
    request.writeInt32BE(processID, 8)
    request.writeInt32BE(secretKey, 12)
    connection.end(request)
    expect(await slept).toMatchObject({ code: '57014' })
    await client.end()
  })
})

/** What `pg` keeps of a connection, to cancel what it does. */
interface Canceller {
  readonly connectionParameters: { readonly host: string; readonly port: number }
  readonly processID: number
  readonly secretKey: number
}
