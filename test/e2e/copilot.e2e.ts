import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { absent, SANDBOX } from '../absent.ts'
import { ended, Home, JIT } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { Database } from '../servers/database.ts'
import { startPostgres } from '../servers/postgres.ts'

const COPILOT = resolve(import.meta.dirname, '../../examples/copilot/copilot.ts')

test.skipIf(absent(...SANDBOX))(
  'a copilot in a sandbox asks, is approved, works by proxy, is refused production, and is stopped by one word',
  { timeout: 90_000 },
  async () => {
    await using postgres = await startPostgres()
    await using plane = await ControlPlane.start({ postgres: postgres.url() })
    await using database = new Database(postgres.url())
    using dev = new Home()
    using lead = new Home()
    await plane.signIn(dev, 'dev')
    await plane.signIn(lead, 'lead')

    const repository = join(dev.directory, 'shop')
    mkdirSync(repository)
    const words = [JIT, 'sandbox', '--agent', 'helper', '--', process.execPath, COPILOT]
    const child = spawn(process.execPath, [...words, process.execPath, JIT], {
      cwd: repository,
      env: dev.env,
    })
    const end = ended(child)
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    /** What it says next, which has to be of this. */
    const said = async (what: string): Promise<string> => {
      const { value, done } = await lines.next()
      if (done) throw new Error(`it ended: ${(await end).stderr}`)
      expect(value.slice(0, value.indexOf(': '))).toBe(what)
      return value.slice(what.length + 2)
    }
    const answer = async (verb: 'approve' | 'deny', words: readonly string[] = []) => {
      const [outcome, grant = ''] = (await said('production')).split(' ')
      expect(outcome).toBe('pending')
      const { code, stderr } = await lead.run([verb, grant, '--yes', ...words])
      expect(stderr).toContain(grant)
      expect(code).toBe(0)
    }

    expect(await said('who I am')).toMatch(/^helper, for dev \(agent/)
    expect(await said('made a table in dev')).toMatch(/^0$/)
    for (const number of ['1', '2', '3']) expect(await said('wrote from the shell')).toBe(number)
    await answer('approve')
    const counted = JSON.parse(await said('counted in production'))
    expect(counted).toMatchObject({ exit_code: 0, stdout: '3\n' })
    await answer('deny', ['--reason', 'once is enough'])
    expect(JSON.parse(await said('and once more'))).toMatchObject({ outcome: 'denied' })
    await said('goes on')

    const listed = JSON.parse((await dev.run(['status', '--json'])).stdout)
    expect(listed.sandboxes).toMatchObject([{ principal: { owner: expect.any(String) } }])
    const revoked = await dev.run(['revoke', '--agent', 'helper'])
    expect(revoked).toMatchObject({ code: 0 })
    await end
    await database.empty(5)
    expect(JSON.parse((await dev.run(['grants', '--json'])).stdout).sandboxes).toEqual([])
  },
)
