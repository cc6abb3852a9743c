import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import { ended, Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'

let plane: ControlPlane
let admin: Home
let dev: Home

beforeEach(async () => {
  plane = await ControlPlane.start()
  admin = new Home()
  dev = new Home()
  await Promise.all([plane.signIn(admin, 'admin'), plane.signIn(dev, 'dev')])
  return async () => {
    admin[Symbol.dispose]()
    dev[Symbol.dispose]()
    await plane.stop()
  }
})

/** Starts a command that runs until it is ended. */
async function running(home: Home) {
  const script = 'console.log("runs"); setInterval(() => {}, 1000)'
  const flags = ['exec', '--env', 'dev', '--task', 'deploy']
  const jit = home.start([...flags, '--', process.execPath, '-e', script])
  if (!jit.stdout) throw new Error('expected a pipe')
  const over = ended(jit)
  await once(createInterface({ input: jit.stdout }), 'line')
  return { over }
}

describe('jit revoke --user', () => {
  test('stops what they run, and only a new sign-in lets them back in', async () => {
    const { over } = await running(dev)
    const revoked = await admin.run(['revoke', '--user', 'dev'])
    expect(revoked).toMatchObject({ code: 0 })
    expect(revoked.stdout).toMatch(/^g_\w+: /)
    expect(revoked.stderr).toContain('ended 1 session: one principal has to sign in again')
    const { code, signal, stderr } = await over
    expect(signal ?? code).not.toBe(0)
    expect(stderr).toContain('revoked')
    const after = await dev.run(['exec', '--env', 'dev', '--task', 'plan', '--', 'true'])
    expect(after).toMatchObject({ code: 125 })
    expect((await dev.run(['whoami'])).code).toBe(4)
    // `auth_time` has whole seconds: a sign-in in the second of the revoke counts as from before it.
    await wait(1000 - (Date.now() % 1000))
    await plane.signIn(dev, 'dev')
    expect((await dev.run(['whoami'])).code).toBe(0)
  })

  test('--json says what ended, and whose sign-ins count no more', async () => {
    const { over } = await running(dev)
    const { stdout } = await admin.run(['revoke', '--user', 'dev', '--json'])
    const answer = JSON.parse(stdout)
    expect(answer).toMatchObject({
      receipts: [{ ended_by: 'revoked', leases: [{ target: 'dev-api' }] }],
      withdrawn: [],
      sessions: 1,
      cut_off: [expect.stringMatching(/\/dev$/)],
    })
    await over
  })

  test('of nobody known, and without leave, is one clear error', async () => {
    for (const [home, user] of [
      [admin, 'nobody'],
      [dev, 'admin'],
    ] as const) {
      const { code, stderr } = await home.run(['revoke', '--user', user])
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: expect.stringContaining(
          `jit: error: there is nobody called '${user}' whose access you may end`,
        ),
      })
    }
    expect((await admin.run(['whoami'])).code).toBe(0)
  })
})

test('jit revoke --all stops everything, and everybody signs in again', async () => {
  const { over } = await running(dev)
  expect((await admin.run(['revoke', '--all'])).code).toBe(0)
  await over
  for (const home of [admin, dev]) expect((await home.run(['whoami'])).code).toBe(4)
})
