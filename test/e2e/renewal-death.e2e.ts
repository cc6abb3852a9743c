import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ended, Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { Database } from '../servers/database.ts'
import { startPostgres } from '../servers/postgres.ts'
import { exec, signIn } from './signing-in.ts'

let postgres: Awaited<ReturnType<typeof startPostgres>>

beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.stop())

/** Seconds. A third of it is what the next broker has to come up in. */
const TTL = 36

// Side by side: most of each is waiting.
test.concurrent.for(['renew:intended', 'renew:extended', 'renew:recorded'])(
  'the broker is killed at %s: the command goes on with the next one, and nothing is left',
  async (dieAt, { expect }) => {
    const data = mkdtempSync(join(tmpdir(), 'jit-renewal-death-'))
    const home = new Home()
    const doomed = await ControlPlane.start({ data, postgres: postgres.url(), dieAt })
    await doomed.signIn(home, 'dev')
    const command = exec(
      ['--task', 'deploy', '--target', 'dev-db', '--ttl', `${TTL}s`],
      ...signIn(TTL + 2),
    )
    const jit = ended(home.start(command))
    await doomed.gone()
    expect(doomed.process.signalCode).toBe('SIGKILL')
    {
      const { port } = doomed
      await using _next = await ControlPlane.start({ data, port, postgres: postgres.url() })
      const result = await jit
      expect(result).toMatchObject({ code: 0 })
      expect(result.stdout.match(/signed in/g)).toHaveLength(TTL + 2)
    }
    home[Symbol.dispose]()
    rmSync(data, { recursive: true, force: true })
  },
)

afterAll(async () => {
  await using database = new Database(postgres.url())
  expect(await database.leases()).toEqual([])
})
