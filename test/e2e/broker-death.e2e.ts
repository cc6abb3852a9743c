import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ended, Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { Database } from '../servers/database.ts'
import { startPostgres } from '../servers/postgres.ts'

let postgres: Awaited<ReturnType<typeof startPostgres>>
let database: Database
let home: Home
let port: number
const data = mkdtempSync(join(tmpdir(), 'jit-death-'))

beforeAll(async () => {
  postgres = await startPostgres()
  database = new Database(postgres.url())
  home = new Home()
  await using plane = await ControlPlane.start({ data, postgres: postgres.url() })
  port = plane.port
  await plane.signIn(home, 'dev')
})

afterAll(async () => {
  home[Symbol.dispose]()
  await database[Symbol.asyncDispose]()
  await postgres.stop()
  rmSync(data, { recursive: true, force: true })
})

const start = (dieAt?: string) =>
  ControlPlane.start({ data, port, postgres: postgres.url(), ...(dieAt ? { dieAt } : {}) })

const EXEC = ['exec', '--env', 'dev', '--task', 'deploy', '--target', 'dev-db', '--']

test.each([
  'mint:intended',
  'mint:created',
  'mint:recorded',
  'mint:delivered',
  'revoke:recorded',
  'revoke:undone',
  'revoke:settled',
])(
  'the broker is killed at %s: after its restart no role is left, and whoever was signed in still is',
  async (dieAt) => {
    const doomed = await start(dieAt)
    const jit = ended(home.start([...EXEC, process.execPath, '-e', '']))
    await doomed.gone()
    expect(doomed.process.signalCode).toBe('SIGKILL')
    await using plane = await start()
    await jit
    await database.empty(40)
    const live = async () => JSON.parse((await home.run(['grants', '--json'])).stdout)
    // An intent that no role was found for counts as gone only past its mint window.
    await expect.poll(live, { timeout: 40_000, interval: 500 }).toEqual({ grants: [] })
    expect(plane.process.exitCode).toBeNull()
  },
)

test('kill -9 while a command runs: it goes on, its lifeline resumes, and its exit is released', async () => {
  const doomed = await start()
  const child = `process.stdout.write('up\\n'); process.stdin.resume()`
  const jit = home.start([...EXEC, process.execPath, '-e', child])
  if (!jit.stdout) throw new Error('expected a pipe')
  await new Promise((resolve) => jit.stdout?.once('data', resolve))
  const [role] = await database.leases()
  await doomed.kill()
  await using _plane = await start()
  const grant = async () =>
    JSON.parse((await home.run(['grants', '--json'])).stdout).grants[0]?.state
  expect(await grant()).toBe('active')
  // Past the grace: had it not resumed, the role would be gone.
  await new Promise((resolve) => setTimeout(resolve, 12_000))
  expect(await database.leases()).toEqual([role])
  const outcome = ended(jit)
  jit.stdin?.end()
  expect(await outcome).toMatchObject({ code: 0 })
  expect(await database.leases()).toEqual([])
})
