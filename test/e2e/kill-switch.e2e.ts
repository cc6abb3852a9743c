import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAuthorizer } from '../../src/auth/authorizer.ts'
import { openSandboxLine } from '../../src/client/sandbox-line.ts'
import { openKeystore } from '../../src/keystore/open.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import { ended, Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'

let plane: ControlPlane
let home: Home

beforeAll(async () => {
  plane = await ControlPlane.start()
  home = new Home()
  await plane.signIn(home, 'dev')
})

afterAll(async () => {
  home[Symbol.dispose]()
  await plane.stop()
})

/** A sandbox of the copilot `claude`, held as its supervisor holds it. */
async function sandbox() {
  const { env } = home
  const paths = pathsFrom(env)
  const keystore = () => openKeystore({ env, paths })
  const authorizer = createAuthorizer({
    ...{ broker: plane.broker, agent: 'claude', keystore, clock: systemClock, paths, env },
  })
  const command = { argv: ['claude', '-p'], directory: '/src', executable: '/usr/bin/claude' }
  const domains = ['packages.example.com', 'paste.example.net']
  return openSandboxLine({
    ...{ broker: plane.broker, authorizer, clock: systemClock },
    open: { profile: 'review', command, domains },
    signal: new AbortController().signal,
  })
}

/** A command of the copilot that runs until it is ended. */
async function working() {
  const script = 'console.log("runs"); setInterval(() => {}, 1000)'
  const flags = ['exec', '--env', 'dev', '--task', 'plan', '--', process.execPath, '-e', script]
  const jit = home.start(flags, { JIT_AGENT: 'claude' })
  if (!jit.stdout) throw new Error('expected a pipe')
  const over = ended(jit)
  await once(createInterface({ input: jit.stdout }), 'line')
  return { over }
}

test('a copilot in its sandbox is seen with what it holds, and stopped with one word', async () => {
  await home.run(['login', '--agent', 'claude', '--delegate'])
  const line = await sandbox()
  expect(line.sandbox).toMatchObject({
    domains: ['packages.example.com'],
    refused: ['paste.example.net'],
  })
  const { over } = await working()
  const status = await home.run(['status'])
  expect(status.stdout).toContain('1 sandbox; stopped by: jit revoke --agent NAME')
  expect(status.stdout).toMatch(/^b_\w+ +claude, for dev +claude -p +plan in dev +\d+h/m)
  const listed = JSON.parse((await home.run(['grants', '--json'])).stdout)
  expect(listed.sandboxes).toEqual([{ ...line.sandbox, grants: [listed.grants[0].id] }])
  const stopped = await home.run(['revoke', '--agent', 'claude'])
  expect(stopped.code).toBe(0)
  expect(stopped.stdout).toMatch(/^g_\w+: revoked dev-api/)
  expect(stopped.stderr).toContain('ended 1 session of claude')
  expect(await line.ended).toEqual({ reason: 'its session was revoked' })
  expect((await over).stderr).toContain('revoked')
  expect(JSON.parse((await home.run(['status', '--json'])).stdout)).toMatchObject({
    grants: [],
    sandboxes: [],
  })
  const again = await home.run(['revoke', '--agent', 'claude'])
  expect(again).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("no copilot called 'claude'"),
  })
})
