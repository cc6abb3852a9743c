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

beforeAll(async () => {
  postgres = await startPostgres()
  database = new Database(postgres.url())
})

afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await postgres.stop()
})

const EXEC = ['exec', '--env', 'dev', '--task', 'deploy', '--target', 'dev-db', '--']

/** Somebody signed in at a broker that is to die, and the next one over its data. */
async function doomed(dieAt?: string) {
  const data = mkdtempSync(join(tmpdir(), 'jit-death-'))
  const home = new Home()
  const at = dieAt === undefined ? {} : { dieAt }
  const plane = await ControlPlane.start({ data, postgres: postgres.url(), ...at })
  await plane.signIn(home, 'dev')
  return {
    home,
    plane,
    next: () => ControlPlane.start({ data, port: plane.port, postgres: postgres.url() }),
    remove() {
      home[Symbol.dispose]()
      rmSync(data, { recursive: true, force: true })
    },
  }
}

const liveGrants = async (home: Home) =>
  JSON.parse((await home.run(['grants', '--json'])).stdout).grants

// Side by side: most of each is waiting.
test.concurrent.for([
  'mint:intended',
  'mint:created',
  'mint:recorded',
  'mint:delivered',
  'revoke:recorded',
  'revoke:undone',
  'revoke:settled',
])(
  'the broker is killed at %s: after its restart no role is left, and whoever was signed in still is',
  async (dieAt, { expect }) => {
    const { home, plane, next, remove } = await doomed(dieAt)
    const jit = ended(home.start([...EXEC, process.execPath, '-e', '']))
    await plane.gone()
    expect(plane.process.signalCode).toBe('SIGKILL')
    {
      await using after = await next()
      await jit
      // An intent that no role was found for counts as gone only past its mint window.
      await expect.poll(() => liveGrants(home), { timeout: 40_000, interval: 500 }).toEqual([])
      expect(after.process.exitCode).toBeNull()
    }
    remove()
  },
)

test.concurrent('kill -9 while a command runs: it goes on, its lifeline resumes, and its exit is released', async () => {
  const { home, plane, next, remove } = await doomed()
  const child = `process.stdout.write('up\\n'); process.stdin.resume()`
  const jit = home.start([...EXEC, process.execPath, '-e', child])
  await new Promise((resolve) => jit.stdout?.once('data', resolve))
  const [grant] = await liveGrants(home)
  const role: string = grant.leases[0].handle
  await plane.kill()
  {
    await using _next = await next()
    expect(await liveGrants(home)).toMatchObject([{ id: grant.id, state: 'active' }])
    // Past the grace: had it not resumed, the role would be gone.
    await new Promise((resolve) => setTimeout(resolve, 12_000))
    expect(await database.leases()).toContain(role)
    const outcome = ended(jit)
    jit.stdin?.end()
    expect(await outcome).toMatchObject({ code: 0 })
    expect(await database.leases()).not.toContain(role)
  }
  remove()
})

afterAll(async () => expect(await database.leases()).toEqual([]))
