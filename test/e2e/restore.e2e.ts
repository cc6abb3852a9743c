import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ended, Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { Database } from '../servers/database.ts'
import { startPostgres } from '../servers/postgres.ts'

let postgres: Awaited<ReturnType<typeof startPostgres>>
let database: Database
const data = mkdtempSync(join(tmpdir(), 'jit-restore-'))
const store = join(data, 'ledger.db')
const backup = join(data, 'backup.db')

beforeAll(async () => {
  postgres = await startPostgres()
  database = new Database(postgres.url())
})

afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await postgres.stop()
  rmSync(data, { recursive: true, force: true })
})

const start = (port?: number) =>
  ControlPlane.start({ data, postgres: postgres.url(), ...(port ? { port } : {}) })

/** The store as it is, while the broker serves it; as if it were copied a minute ago. */
function backUp(): void {
  const live = new DatabaseSync(store)
  live.prepare('VACUUM INTO ?').run(backup)
  live.close()
  const copy = new DatabaseSync(backup)
  copy.exec('UPDATE incarnations SET alive_at = alive_at - 60000')
  copy.close()
}

function restore(): void {
  for (const suffix of ['-wal', '-shm']) rmSync(`${store}${suffix}`, { force: true })
  copyFileSync(backup, store)
}

/** A command that holds a role until it is killed, and that role. */
async function hold(home: Home) {
  const before = await database.leases()
  const flags = ['--env', 'dev', '--task', 'deploy', '--target', 'dev-db']
  const wait = [process.execPath, '-e', `process.stdout.write('up'); process.stdin.resume()`]
  const jit = home.start(['exec', ...flags, '--', ...wait])
  await new Promise((resolve) => jit.stdout?.once('data', resolve))
  const [role = ''] = (await database.leases()).filter((one) => !before.includes(one))
  return { jit, role }
}

test('a store restored from a copy made while serving: what was active is revoked, what it forgot waits for a word', async () => {
  using home = new Home()
  const plane = await start()
  await plane.signIn(home, 'dev')
  const known = await hold(home)
  backUp()
  const forgotten = await hold(home)
  await plane.kill()
  for (const { jit } of [known, forgotten]) {
    const gone = ended(jit)
    jit.kill('SIGKILL')
    await gone
  }
  restore()
  const config = ['--config', join(data, 'broker.yaml'), '--json']
  const operator = async (...args: string[]) => {
    const { stdout, stderr, code } = await home.run(['broker', ...args, ...config])
    expect(stderr, args.join(' ')).not.toContain('error')
    expect(code).toBe(0)
    return JSON.parse(stdout)
  }
  expect(await operator('restored', '--yes')).toEqual({ sessions: 1 })
  await using next = await start(plane.port)
  await expect.poll(() => database.leases()).toEqual([forgotten.role])
  const quarantine = async () => (await operator('quarantine')).quarantine
  await expect
    .poll(quarantine)
    .toMatchObject([
      { target: 'dev-db', handle: forgotten.role, forked: false, deadline: expect.any(String) },
    ])
  expect((await home.run(['grants'])).code).toBe(4)
  expect(await (await fetch(`${next.broker}/readyz`)).json()).toMatchObject({ quarantined: 1 })
  expect(await operator('adopt', '--all', '--yes')).toEqual({ adopted: [forgotten.role] })
  await database.empty()
  expect(await quarantine()).toEqual([])
})

test("nothing is changed without an operator's yes, nor beside a store of another version", async () => {
  using home = new Home()
  const own = join(home.directory, 'data')
  const plane = await ControlPlane.start({ data: own })
  await plane.stop()
  const config = ['--config', join(own, 'broker.yaml')]
  for (const act of [['restored'], ['rotate-keys', '--compromised']]) {
    const { code, stderr } = await home.run(['broker', ...act, ...config])
    expect(code).toBe(2)
    expect(stderr).toContain('give --yes')
  }
  const older = new DatabaseSync(join(own, 'ledger.db'))
  older.exec("DELETE FROM kysely_migration WHERE name = '2026-12-quarantine'")
  older.close()
  const { code, stderr } = await home.run(['broker', 'quarantine', ...config])
  expect(code).toBe(1)
  expect(stderr).toContain('start the broker of this version first')
})
