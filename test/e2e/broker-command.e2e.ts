import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ended, JIT } from '../run/home.ts'

const ALL = '@id("all") permit (principal is Human, action, resource);'

let directory: string
let broker: ChildProcess | undefined

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'jit-broker-'))
  write('all.cedar', ALL)
})

afterEach(() => {
  broker?.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})

const write = (name: string, text: string) => writeFileSync(join(directory, name), text)

function configure(more = '', port = 0): void {
  write(
    'broker.yaml',
    `url: http://127.0.0.1:7420
listen: 127.0.0.1:${port}
store: sqlite:ledger.db
policies: .
identity: [{ issuer: https://idp.test, clients: { jit-cli: human } }]
tasks: { plan: {} }
environments: { dev: { tier: development } }
targets:
  api: { environment: dev, type: token, sensitivity: internal, audience: https://api.test, tasks: { plan: {} } }
${more}`,
  )
}

function start(env: Record<string, string> = {}): ChildProcess {
  broker = spawn(process.execPath, [JIT, 'broker', '--config', join(directory, 'broker.yaml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  return broker
}

/** The log, entry by entry. */
async function* entriesOf({ stderr }: ChildProcess) {
  if (!stderr) throw new Error('expected a pipe')
  for await (const line of createInterface({ input: stderr })) {
    yield JSON.parse(line) as Record<string, string>
  }
}

test('SIGHUP reads the policies again; a set with a mistake is told and changes nothing', async () => {
  configure()
  const child = start()
  const log = entriesOf(child)
  const next = async () => (await log.next()).value ?? {}
  const serving = await next()
  expect(serving).toMatchObject({ level: 'info', message: 'serving' })
  write('all.cedar', '@id("all") permit (principal is Human, action == Action::"plam", resource);')
  child.kill('SIGHUP')
  const refused = await next()
  expect(refused).toMatchObject({ level: 'warn', message: 'what was in force before still is' })
  expect(refused.reason).toContain('all.cedar:1')
  write('all.cedar', ALL.replace('action', 'action == Action::"plan"'))
  child.kill('SIGHUP')
  const reloaded = await next()
  expect(reloaded.message).toBe('policies reloaded')
  expect(reloaded.policies).not.toBe(serving.policies)
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})

test.runIf(existsSync('/proc/self/coredump_filter'))(
  'nobody gets at its memory by a debugger or a core dump',
  async () => {
    configure()
    const child = start()
    const log = entriesOf(child)
    expect((await log.next()).value).toMatchObject({ message: 'serving' })
    expect(readFileSync(`/proc/${child.pid}/coredump_filter`, 'utf8')).toBe('00000000\n')
    // Where Node opens its debugger on this signal, it says so on stderr before anything else comes.
    child.kill('SIGUSR1')
    child.kill('SIGHUP')
    expect((await log.next()).value).toMatchObject({ message: 'policies reloaded' })
  },
)

test('it does not start with a debugger', async () => {
  configure()
  const { code, stderr } = await ended(start({ NODE_OPTIONS: '--inspect=127.0.0.1:0' }))
  expect(code).toBe(2)
  expect(stderr).toContain('jit: error: a debugger could read every secret')
})

test.each<[string, () => void, RegExp]>([
  [
    'a mistake in broker.yaml',
    () => configure('lifeline: { grace: soon }'),
    /broker\.yaml:10: lifeline\.grace: expected a duration/,
  ],
  ['text that is no YAML', () => write('broker.yaml', 'url: [\n'), /broker\.yaml:\d+: /],
  [
    'a mistake in a policy',
    () => {
      configure()
      write('all.cedar', 'permit (principal')
    },
    /all\.cedar:1: /,
  ],
  [
    'no policy at all',
    () => {
      configure()
      rmSync(join(directory, 'all.cedar'))
    },
    /at least one \*\.cedar/,
  ],
  [
    'plain HTTP for everybody',
    () => {
      configure()
      write(
        'broker.yaml',
        'listen: 0.0.0.0:0\nurl: http://127.0.0.1:1\nstore: sqlite:x\npolicies: .\nidentity: [{ issuer: https://i.test, clients: { a: human } }]\ntasks: {}\nenvironments: {}\n',
      )
    },
    /listen/,
  ],
])('%s: one clear error, and no broker', async (_, prepare, message) => {
  prepare()
  const { code, stderr, stdout } = await ended(start())
  expect(code).toBe(1)
  expect(stdout).toBe('')
  expect(stderr).toMatch(message)
  expect(stderr.match(/jit: error:/g)).toHaveLength(1)
})

test('a port that is taken is named', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  configure('', typeof address === 'object' && address ? address.port : 0)
  const { code, stderr } = await ended(start())
  server.close()
  expect(code).toBe(1)
  expect(stderr).toContain('EADDRINUSE')
})
