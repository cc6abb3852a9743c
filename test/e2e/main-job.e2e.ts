import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ended, Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { Database } from '../servers/database.ts'
import { startPostgres } from '../servers/postgres.ts'

let postgres: Awaited<ReturnType<typeof startPostgres>>
let database: Database
let plane: ControlPlane
let dev: Home
let admin: Home

beforeAll(async () => {
  postgres = await startPostgres({ settings: { log_statement: 'all' } })
  database = new Database(postgres.url())
  plane = await ControlPlane.start({ postgres: postgres.url() })
  dev = new Home()
  admin = new Home()
  await Promise.all([plane.signIn(dev, 'dev'), plane.signIn(admin, 'admin')])
})

afterAll(async () => {
  await plane.stop()
  await database[Symbol.asyncDispose]()
  await postgres.stop()
  dev[Symbol.dispose]()
  admin[Symbol.dispose]()
})

beforeEach(() => database.empty())

const DEPLOY = ['exec', '--env', 'dev', '--task', 'deploy', '--target', 'dev-db']
/** A child that says what it was given and waits for its stdin to end. */
const TELL = `console.log(JSON.stringify(process.env)); process.stdin.resume()`

/** Starts a wrapped child and waits until it told its environment. */
async function holdGrant(home: Home, flags: readonly string[] = DEPLOY) {
  const jit = home.start([...flags, '--', process.execPath, '-e', TELL])
  if (!jit.stdout) throw new Error('expected a pipe')
  const lines = createInterface({ input: jit.stdout })
  const [line] = (await new Promise<string[]>((resolve, reject) => {
    lines.once('line', (first) => resolve([first]))
    jit.once('exit', (code) => reject(new Error(`jit ended with ${code}`)))
  })) as [string]
  const env = JSON.parse(line) as Record<string, string>
  return { jit, env, ended: ended(jit) }
}

async function login(env: Record<string, string>): Promise<string> {
  const client = new pg.Client({ connectionString: env.PG_CONN_STR })
  try {
    await client.connect()
    const { rows } = await client.query('SELECT current_user AS role')
    return rows[0].role
  } finally {
    await client.end()
  }
}

describe('jit exec with a PostgreSQL lease', () => {
  test('the child signs in as the owner of what it makes; afterwards the same credential is refused', async () => {
    const { jit, env, ended } = await holdGrant(dev)
    expect(await login(env)).toBe('migrator')
    expect(await database.leases()).toEqual([env.PGUSER])
    jit.stdin?.end()
    expect(await ended).toMatchObject({ code: 0 })
    expect(await database.leases()).toEqual([])
    await expect(login(env)).rejects.toThrow(/password authentication failed/)
  })

  test('what the task made stays, and belongs to its owner', async () => {
    const made = await dev.run([
      ...DEPLOY,
      '--',
      process.execPath,
      '--input-type=module',
      '-e',
      `import pg from ${JSON.stringify(import.meta.resolve('pg'))}
       const client = new pg.Client({ connectionString: process.env.PG_CONN_STR })
       await client.connect()
       await client.query('CREATE TABLE kept (id int)')
       await client.end()`,
    ])
    expect(made).toMatchObject({ code: 0 })
    const [table] = await database.query(
      "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'",
    )
    expect(table).toEqual({ tableowner: 'migrator' })
  })

  test("the receipt says what happened, and the exit code is the child's", async () => {
    const file = join(dev.directory, 'receipt.json')
    const result = await dev.run([
      ...DEPLOY,
      '--receipt',
      file,
      '--',
      process.execPath,
      '-e',
      'process.exit(7)',
    ])
    expect(result.code).toBe(7)
    const receipt = JSON.parse(readFileSync(file, 'utf8'))
    expect(receipt).toMatchObject({
      state: 'revoked',
      ended_by: 'exit',
      leases: [{ target: 'dev-db', outcome: 'revoked', revocability: 'hard' }],
    })
    expect(receipt.leases[0].handle).toMatch(/^j[a-z0-9]{31}$/)
    expect(receipt.log.hash).toMatch(/^[0-9a-f]{64}$/)
  })

  test('--quiet says nothing of its own', async () => {
    const result = await dev.run([...DEPLOY, '--quiet', '--', process.execPath, '-e', ''])
    expect(result).toMatchObject({ code: 0, stdout: '', stderr: '' })
  })

  test('a jit within a jit gets a grant of its own', async () => {
    const inner = [...DEPLOY, '--quiet', '--', process.execPath, '-p', 'process.env.JIT_GRANT']
    const outer = await dev.run([
      ...DEPLOY,
      '--quiet',
      '--',
      process.execPath,
      '-e',
      `console.log(process.env.JIT_GRANT)
       const { status } = require('node:child_process').spawnSync(${JSON.stringify(process.execPath)},
         ${JSON.stringify([join(import.meta.dirname, '../../bin/jit.js'), ...inner])}, { stdio: 'inherit' })
       process.exit(status)`,
    ])
    expect(outer.code).toBe(0)
    const grants = outer.stdout.trim().split('\n')
    expect(grants).toHaveLength(2)
    expect(new Set(grants).size).toBe(2)
  })

  test('with no --target it gets every target of the environment that has the task', async () => {
    const result = await dev.run([
      'exec',
      '--env',
      'dev',
      '--task',
      'plan',
      '--quiet',
      '--',
      process.execPath,
      '-p',
      'Boolean(process.env.DEV_API_TOKEN && process.env.PGPASSWORD)',
    ])
    expect(result).toMatchObject({ code: 0, stdout: 'true\n' })
  })
})

describe('what ends a grant', () => {
  test('kill -9 of the CLI: the role is gone after the grace', async () => {
    const { jit, env } = await holdGrant(dev)
    jit.kill('SIGKILL')
    expect(await database.leases()).toEqual([env.PGUSER])
    await database.empty(15)
  })

  test('the deadline: the child is ended and its role with it', async () => {
    const started = performance.now()
    // With the token, which no renewal reaches.
    const result = await dev.run([
      'exec',
      '--env',
      'dev',
      '--task',
      'deploy',
      '--ttl',
      '2s',
      '--min-ttl',
      '1s',
      '--',
      process.execPath,
      '-e',
      'setInterval(() => {}, 1000)',
    ])
    expect(result.code).not.toBe(0)
    expect(performance.now() - started).toBeLessThan(20_000)
    expect(await database.leases()).toEqual([])
  })

  test('revoked by an admin: the child is ended within seconds', async () => {
    const { env, ended } = await holdGrant(dev)
    const revoked = await admin.run(['revoke', String(env.JIT_GRANT), '--json'])
    expect(revoked.code).toBe(0)
    expect(JSON.parse(revoked.stdout)).toMatchObject({ grant: env.JIT_GRANT, ended_by: 'revoked' })
    const { stderr, signal, code } = await ended
    expect(signal ?? code).not.toBe(0)
    expect(stderr).toContain('revoked')
    expect(await database.leases()).toEqual([])
  })

  test('jit logout: all grants of the session end', async () => {
    const home = new Home()
    try {
      await plane.signIn(home, 'lead')
      const { ended } = await holdGrant(home)
      expect(await home.run(['logout'])).toMatchObject({ code: 0 })
      await ended
      await database.empty()
      expect((await home.run(['whoami'])).code).toBe(4)
    } finally {
      home[Symbol.dispose]()
    }
  })
})

describe('who may do what', () => {
  test('production is denied, naming the policy; nothing is minted and the command does not run', async () => {
    const marker = join(dev.directory, 'ran')
    const result = await dev.run([
      'exec',
      '--env',
      'prod',
      '--task',
      'plan',
      '--',
      process.execPath,
      '-e',
      `require('node:fs').writeFileSync(${JSON.stringify(marker)}, '')`,
    ])
    expect(result.code).toBe(125)
    expect(result.stderr).toContain('production-plan-needs-a-reason')
    expect(existsSync(marker)).toBe(false)
    const { stdout } = await admin.run(['audit'])
    expect(stdout).toMatch(/grant\.denied .* prod\/plan .* by production-plan-needs-a-reason/)
    expect(await database.leases()).toEqual([])
  })

  test("others' grants are not seen, revoked or read about without a policy", async () => {
    const lead = new Home()
    try {
      await plane.signIn(lead, 'lead')
      const { jit, env, ended } = await holdGrant(dev)
      const grant = String(env.JIT_GRANT)
      expect(JSON.parse((await lead.run(['grants', '--all', '--json'])).stdout)).toEqual({
        grants: [],
        sandboxes: [],
      })
      expect((await lead.run(['show', grant])).code).toBe(1)
      expect((await lead.run(['revoke', grant])).code).toBe(1)
      expect((await lead.run(['audit'])).code).toBe(3)
      const seen = JSON.parse((await admin.run(['grants', '--all', '--json'])).stdout)
      expect(seen.grants.map(({ id }: { id: string }) => id)).toEqual([grant])
      jit.stdin?.end()
      await ended
    } finally {
      lead[Symbol.dispose]()
    }
  })

  test('the audit log verifies, and holds request, decision, outcome and receipt of a grant', async () => {
    const { jit, env, ended } = await holdGrant(dev)
    jit.stdin?.end()
    await ended
    const entries = (await admin.run(['audit', '--json'])).stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const events = entries.filter(({ grant }) => grant === env.JIT_GRANT).map(({ event }) => event)
    expect(events).toEqual([
      'grant.permitted',
      'grant.granted',
      'grant.received',
      'grant.ended',
      'lease.revoked',
      'grant.revoked',
    ])
    const verified = await admin.run(['audit', '--verify', '--json'])
    expect(JSON.parse(verified.stdout)).toMatchObject({ ok: true, problems: [] })
  })
})

describe('secrets', () => {
  test("a grant's credentials are in no log, database file, audit entry, process list or temporary file", async () => {
    const { jit, env, ended } = await holdGrant(dev, ['exec', '--env', 'dev', '--task', 'deploy'])
    const canaries = [String(env.PGPASSWORD), String(env.DEV_API_TOKEN)]
    expect(canaries.every((canary) => canary.length > 20)).toBe(true)
    const arguments_ = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => read(`/proc/${pid}/cmdline`))
    const activity = await database.query('SELECT query FROM pg_stat_activity')
    jit.stdin?.end()
    const result = await ended
    const audit = await admin.run(['audit', '--json'])
    const places: Record<string, string> = {
      'process list': arguments_.join('\n'),
      pg_stat_activity: JSON.stringify(activity),
      'stderr of jit': result.stderr,
      'broker log': plane.log,
      'server log': await postgres.log(),
      audit: audit.stdout,
      ...filesUnder(dev.directory),
      ...ledgerFiles(),
    }
    for (const [place, text] of Object.entries(places)) {
      for (const canary of canaries) expect(text.includes(canary), place).toBe(false)
    }
  })
})

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

function filesUnder(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
  return Object.fromEntries(
    files
      .filter((file) => file.isFile())
      .map((file) => join(file.parentPath, file.name))
      .map((path) => [path, read(path)]),
  )
}

/** The control plane's own files: its ledger and its provider's store are open in its process. */
function ledgerFiles(): Record<string, string> {
  const open = readdirSync(`/proc/${plane.process.pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${plane.process.pid}/fd/${fd}`)]
    } catch {
      return []
    }
  })
  const databases = open.filter((path) => path.includes('.db'))
  expect(databases.length).toBeGreaterThan(0)
  return Object.fromEntries(databases.map((path) => [path, read(path)]))
}
