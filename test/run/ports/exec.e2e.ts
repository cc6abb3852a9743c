import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { ControlPlane } from '../../servers/control-plane.ts'
import { Database } from '../../servers/database.ts'
import { type PostgresServer, startPostgres } from '../../servers/postgres.ts'
import { FakeBroker } from '../fake-broker.ts'
import { ended, Home } from '../home.ts'
import { Api, type Issued, issueCertificate } from './api.ts'
import { LEASE_ROLE, LOGIN, postgresCredential, tokenCredential } from './credentials.ts'

const TOKEN = 'canary-of-the-token'
const ASK = ['exec', '--env', 'dev', '--task', 'deploy', '--']
let server: PostgresServer
let issued: Issued
let api: Api
let broker: FakeBroker
let home: Home

beforeAll(async () => {
  server = await startPostgres()
  await using dba = new Database(server.url())
  await dba.query(LEASE_ROLE)
  issued = await issueCertificate('localhost')
  api = await Api.start(issued)
})
afterAll(async () => {
  await api?.[Symbol.asyncDispose]()
  await server?.stop()
})
beforeEach(async () => {
  broker = await FakeBroker.start()
  home = new Home()
  await home.signIn(broker.url)
  broker.behaviour.credentials = [
    postgresCredential({ port: server.port }, 'l1'),
    tokenCredential(api.url('localhost'), TOKEN, 'l2'),
  ]
  writeFileSync(join(home.directory, 'authority.pem'), issued.ca)
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

/** As a company's authority is trusted by whoever runs `jit`. */
const trusting = () => ({ NODE_EXTRA_CA_CERTS: join(home.directory, 'authority.pem') })

/** Uses both credentials, and prints all that the command was given. */
const COMMAND = `
  psql --tuples-only --no-align --command 'SELECT session_user'
  curl --silent --header "authorization: Bearer $API_TOKEN" "$API_URL/things"; echo
  env; tr '\\0' '\\n' < /proc/$$/environ; tr '\\0' '\\n' < /proc/$$/cmdline
  exit 3`

test('a command uses credentials by proxy that are nowhere in its environment', async () => {
  const { code, stdout, stderr } = await home.run([...ASK, 'sh', '-c', COMMAND], trusting())
  expect({ code, first: stdout.split('\n')[0] }).toEqual({ code: 3, first: LOGIN.user })
  expect(api.seen.at(-1)?.headers.authorization).toBe(`Bearer ${TOKEN}`)
  expect(stdout).toContain('PGUSER=jit')
  for (const secret of [LOGIN.password, TOKEN]) expect(stdout + stderr).not.toContain(secret)
  expect(readdirSync(join(home.directory, 'run/jit/ports'))).toEqual([])
})

test('the ports go with the grant: what is left of the command gets in no more', async () => {
  const child = home.start([
    ...ASK,
    'sh',
    '-c',
    'trap "sleep 1; exit" TERM; env; while :; do sleep 0.1; done',
  ])
  const closed = ended(child)
  let said = ''
  child.stdout?.on('data', (chunk) => {
    said += chunk
  })
  await expect.poll(() => said).toContain('DATABASE_URL=')
  const url = /^DATABASE_URL=(.*)$/m.exec(said)?.[1] ?? ''
  await using before = new Database(url)
  expect(await before.query('SELECT 1 AS one')).toEqual([{ one: 1 }])
  broker.revoke('revoked', 'enough')
  await expect
    .poll(
      () =>
        before.query('SELECT 1').then(
          () => 'answered',
          (error) => error.code,
        ),
      {
        timeout: 2000,
      },
    )
    .toBe('ECONNREFUSED')
  expect(child.exitCode).toBe(null)
  await closed
})

test('with a real broker, psql works through the port as the lease, whose role is gone afterwards', async () => {
  await using plane = await ControlPlane.start({ postgres: server.url() })
  using person = new Home()
  await plane.signIn(person, 'dev')
  const flags = ['--env', 'dev', '--task', 'deploy', '--target', 'dev-db', '--deliver', 'proxy']
  const query = "SELECT session_user ~ '^j[a-z0-9]{31}$', current_setting('password_encryption')"
  const script = `psql --tuples-only --no-align --command "${query}"; env | grep '^PG'`
  const { code, stdout } = await person.run(['exec', ...flags, '--', 'sh', '-c', script])
  expect({ code, first: stdout.split('\n')[0] }).toEqual({ code: 0, first: 't|scram-sha-256' })
  expect(stdout).toMatch(/^PGUSER=jit[0-9a-f]{32}$/m)
  expect(stdout).not.toContain('PGPASSWORD')
  await using dba = new Database(server.url())
  await dba.empty()
})

test('a copilot gets a database by proxy unless it says otherwise, and not otherwise', async () => {
  await using plane = await ControlPlane.start({ postgres: server.url() })
  using person = new Home()
  await plane.signIn(person, 'dev')
  await person.run(['login', '--agent', 'claude', '--delegate'])
  const run = (...words: string[]) =>
    person.run(['exec', '--env', 'dev', '--task', 'deploy', '--target', 'dev-db', ...words], {
      JIT_AGENT: 'claude',
    })
  const { code, stdout, stderr } = await run('--', 'sh', '-c', "env | grep '^PG'")
  expect(code).toBe(0)
  expect(stdout).toMatch(/^PGUSER=jit[0-9a-f]{32}$/m)
  expect(stdout).not.toContain('PGPASSWORD')
  expect(stderr).toContain('dev-db: hard, by proxy')
  const refused = await run('--deliver', 'env', '--', 'true')
  expect(refused.code).toBe(125)
  expect(refused.stderr).toContain('hint: ask for it by a proxy: --deliver proxy')
  expect((await run('--deliver', 'prox', '--', 'true')).stderr).toContain(
    '--deliver: expected env or proxy',
  )
})
