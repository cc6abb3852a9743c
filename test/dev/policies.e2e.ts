import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'

let plane: ControlPlane
let dev: Home
let lead: Home
let admin: Home

beforeAll(async () => {
  plane = await ControlPlane.start()
  dev = new Home()
  lead = new Home()
  admin = new Home()
  await plane.signIn(dev, 'dev')
  await plane.signIn(lead, 'lead')
  await plane.signIn(admin, 'admin')
})

afterAll(async () => {
  await plane.stop()
  for (const home of [dev, lead, admin]) home[Symbol.dispose]()
})

const CLAUDE = { JIT_AGENT: 'claude' }
const RUN = ['--', process.execPath, '-e', 'console.log("it ran")']
const inProd = (task: string, ...flags: string[]) => ['--env', 'prod', '--task', task, ...flags]

/** Asks for production ahead of time, in the folder that the command will run in. */
async function ask(home: Home, task: string, env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await home.run(
    ['request', ...inProd(task, '--reason', 'asked to'), '--json', ...RUN],
    env,
  )
  if (code !== 0) throw new Error(stderr)
  const { grant } = JSON.parse(stdout)
  expect(grant.state).toBe('pending')
  return String(grant.id)
}

const approve = (home: Home, id: string) => home.run(['approve', id, '--yes'])
const use = (home: Home, id: string, env: Record<string, string> = {}) =>
  home.run(['exec', '--grant', id, '--no-wait', ...RUN], env)

describe('production in the development control plane', () => {
  test('takes a reason for a plan', async () => {
    const without = await dev.run(['exec', ...inProd('plan'), ...RUN])
    expect(without.code).toBe(125)
    expect(without.stderr).toContain('production-plan-needs-a-reason')
    const flags = inProd('plan', '--reason', 'looking at the drift')
    expect((await dev.run(['exec', ...flags, ...RUN])).stdout).toBe('it ran\n')
  })

  test.each(['deploy', 'migrate'])(
    'takes the approval of one on call for %s, and never of the one who asks',
    async (task) => {
      const id = await ask(lead, task)
      expect((await approve(lead, id)).code).not.toBe(0)
      expect((await approve(dev, id)).code).not.toBe(0)
      expect((await approve(admin, id)).code).toBe(0)
      expect((await use(lead, id)).stdout).toBe('it ran\n')
      expect((await use(lead, id)).code).toBe(125)
    },
  )

  test('takes somebody other than its person for a copilot', async () => {
    await lead.run(['login', '--agent', 'claude', '--delegate'])
    const id = await ask(lead, 'deploy', CLAUDE)
    // Its person may say yes, which is not enough.
    expect((await approve(lead, id)).code).toBe(0)
    expect((await use(lead, id, CLAUDE)).code).toBe(6)
    expect((await approve(admin, id)).code).toBe(0)
    expect((await use(lead, id, CLAUDE)).stdout).toBe('it ran\n')
  })

  test('opens at once when those on call break the glass, and nobody else may', async () => {
    const emergency = inProd('deploy', '--break-glass', '--reason', 'the shop is down')
    const mine = await lead.run(['exec', ...emergency, ...RUN])
    expect(mine.stdout).toBe('it ran\n')
    const theirs = await dev.run(['exec', ...emergency, ...RUN])
    expect(theirs.code).toBe(125)
    expect(theirs.stderr).toContain('break-glass-is-for-oncall')
  })
})
