import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { AuditEntry } from '../../src/protocol/audit.ts'
import { absent, SANDBOX } from '../absent.ts'
import { credential, FakeBroker } from '../run/fake-broker.ts'
import { ended, Home, JIT } from '../run/home.ts'
import { approvalBy } from '../run/requests.ts'
import { ControlPlane } from '../servers/control-plane.ts'

const SECRET = 'correct-horse-battery-staple'
const ASK = { environment: 'dev', task: 'deploy' }
const NODE = process.execPath

let home: Home
const clients: Client[] = []

beforeEach(() => {
  home = new Home()
})
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close()
  home[Symbol.dispose]()
})

/** A client that starts `jit mcp` as its user's settings would have it. */
async function connect(...flags: string[]): Promise<{ client: Client; stderr: () => string }> {
  const transport = new StdioClientTransport({
    command: NODE,
    args: [JIT, 'mcp', ...flags],
    env: home.env,
    cwd: home.directory,
    stderr: 'pipe',
  })
  let said = ''
  transport.stderr?.on('data', (chunk) => {
    said += String(chunk)
  })
  const client = new Client({ name: 'Test Client', version: '1' })
  await client.connect(transport)
  clients.push(client)
  return { client, stderr: () => said }
}

async function call(
  client: Client,
  name: string,
  input: Record<string, unknown>,
  options: { signal?: AbortSignal } = {},
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
): Promise<any> {
  const result = await client.callTool({ name, arguments: input }, undefined, options)
  expect(JSON.stringify(result)).not.toContain(SECRET)
  return result.structuredContent
}

const runs = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

describe('jit mcp, with a broker that says yes', () => {
  let broker: FakeBroker

  beforeEach(async () => {
    broker = await FakeBroker.start()
    broker.behaviour.credentials = [{ ...credential({ PGPASSWORD: SECRET }), secrets: [SECRET] }]
    await home.signIn(broker.url, 'claude')
    return () => broker.stop()
  })

  /** Runs until it is killed: TERM is nothing to it. Leaves its number where it is told. */
  const STUBBORN =
    'trap "" TERM; echo $$ > "$0.draft"; mv "$0.draft" "$0"; while :; do sleep 0.05; done'

  /** Lines to `jit mcp`, by hand. */
  function speak(): { jit: ChildProcess; lines: AsyncIterator<string>; say(line: unknown): void } {
    const jit = home.start(['mcp', '--agent', 'claude'])
    if (!jit.stdout) throw new Error('expected a pipe')
    const lines = createInterface({ input: jit.stdout })[Symbol.asyncIterator]()
    const say = (line: unknown) =>
      jit.stdin?.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`)
    return { jit, lines, say }
  }

  const runCall = (id: number) => {
    const command = ['sh', '-c', STUBBORN, join(home.directory, `pid-${id}`)]
    const params = { name: 'run', arguments: { ...ASK, command } }
    return { jsonrpc: '2.0', id, method: 'tools/call', params }
  }

  /** Two stubborn commands, running. */
  async function busy() {
    const spoken = speak()
    const files = [1, 2].map((id) => join(home.directory, `pid-${id}`))
    for (const id of [1, 2]) spoken.say(runCall(id))
    while (!files.every(existsSync)) await new Promise((resolve) => setTimeout(resolve, 20))
    return { ...spoken, pids: files.map((file) => Number(readFileSync(file, 'utf8'))) }
  }

  test('runs what was approved meanwhile, and shows its output masked', async () => {
    broker.behaviour.obligation = { approvals: [{ group: 'platform-oncall', people: 1 }] }
    const { client, stderr } = await connect('--agent', 'claude')
    const command = [NODE, '-e', 'console.log(process.env.PGPASSWORD, process.env.JIT_GRANT)']
    const pending = await call(client, 'run', { ...ASK, command, wait_seconds: 0 })
    expect(pending).toMatchObject({ outcome: 'pending', grant: broker.grant })
    const running = call(client, 'run', { command, grant: pending.grant })
    await broker.waitFor('redeem')
    broker.approve(approvalBy('dana'))
    expect(await running).toMatchObject({
      outcome: 'exited',
      exit_code: 0,
      stdout: `[masked] ${broker.grant}\n`,
    })
    expect(stderr()).toBe('')
  })

  test('goes on after what is malformed, oversized or unknown', async () => {
    const { jit, lines, say } = speak()
    const next = async () => JSON.parse((await lines.next()).value)
    say('{"jsonrpc": "2.0", "id": 1,')
    expect(await next()).toEqual({ jsonrpc: '2.0', error: { code: -32700, message: 'not JSON' } })
    say({ ...runCall(2), padding: 'x'.repeat(5_000_000) })
    expect(await next()).toMatchObject({ error: { code: -32600 } })
    say({ jsonrpc: '2.0', id: 3, method: 'tools/call', params: { name: 'approve' } })
    expect(await next()).toMatchObject({ id: 3, error: { code: -32602 } })
    say({ jsonrpc: '2.0', id: 4, method: 'tools/call', params: { arguments: 7 } })
    expect(await next()).toMatchObject({ id: 4, error: { code: expect.any(Number) } })
    say({ jsonrpc: '2.0', id: 5, method: 'no/such/method' })
    expect(await next()).toMatchObject({ id: 5, error: { code: -32601 } })
    say({ jsonrpc: '2.0', id: 6, method: 'ping' })
    expect(await next()).toEqual({ jsonrpc: '2.0', id: 6, result: {} })
    jit.stdin?.end()
    expect(await once(jit, 'exit')).toEqual([0, null])
    expect(broker.upgrades).toEqual([])
  })

  test('stops every command and gives every grant back when its client goes away', async () => {
    const { jit, pids } = await busy()
    const outcome = ended(jit)
    jit.stdin?.end()
    expect(await outcome).toMatchObject({ code: 0, signal: null })
    expect(pids.filter(runs)).toEqual([])
    await broker.waitFor('release', 2)
  })

  test('does the same on SIGTERM, before a client would lose patience', async () => {
    const { jit, pids } = await busy()
    const outcome = ended(jit)
    const started = Date.now()
    jit.kill('SIGTERM')
    expect(await outcome).toMatchObject({ code: 0, signal: null })
    expect(Date.now() - started).toBeLessThan(15_000)
    expect(pids.filter(runs)).toEqual([])
    await broker.waitFor('release', 2)
  })

  test('says which name an agent may have', async () => {
    const { code, stderr } = await home.run(['mcp', '--agent', 'Not A Name'])
    expect(code).toBe(2)
    expect(stderr).toContain("'Not A Name' is not the name of an agent")
  })
})

/** A client that runs one command and asks for another, and prints what it is answered. */
function clientInside(): string {
  const sdk = (part: string) => import.meta.resolve(`@modelcontextprotocol/sdk/client/${part}.js`)
  const asks = JSON.stringify({ command: ['true'], environment: 'prod', task: 'deploy' })
  return `
    import { Client } from '${sdk('index')}'
    import { StdioClientTransport } from '${sdk('stdio')}'
    const client = new Client({ name: 'inside', version: '1' })
    const args = ['${JIT}', 'mcp']
    const { execPath: command, env } = process
    await client.connect(new StdioClientTransport({ command, args, env }))
    const call = async (name, input) => {
      const { structuredContent } = await client.callTool({ name, arguments: input })
      console.log(JSON.stringify(structuredContent))
    }
    const print = [command, '-e', 'console.log(process.env.DEV_API_TOKEN.length > 9)']
    await call('run', { environment: 'dev', task: 'plan', targets: ['dev-api'], command: print })
    await call('request_access', ${asks})
    await client.close()`
}

describe('jit mcp, at a development control plane', () => {
  let plane: ControlPlane
  beforeAll(async () => {
    plane = await ControlPlane.start()
  })
  afterAll(() => plane.stop())

  /** As whoever may read it does. */
  async function auditLog(): Promise<AuditEntry[]> {
    using admin = new Home()
    await plane.signIn(admin, 'admin')
    const { stdout } = await admin.run(['audit', '--json'])
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  }

  test('acts as a copilot named after its client, delegated from the person and gone with it', async () => {
    await plane.signIn(home, 'dev')
    const { client, stderr } = await connect()
    const command = [NODE, '-e', 'console.log(process.env.DEV_API_TOKEN.length > 9)']
    const asked = { environment: 'dev', task: 'plan', targets: ['dev-api'], reason: 'to see' }
    const done = await call(client, 'run', { ...asked, command })
    expect(done).toMatchObject({ outcome: 'exited', exit_code: 0, stdout: 'true\n' })
    const ahead = await call(client, 'request_access', { ...asked, command })
    expect(ahead).toMatchObject({ outcome: 'approved' })
    const { grants } = await call(client, 'list_access', {})
    expect(grants).toMatchObject([{ grant: ahead.grant, state: 'approved' }])
    expect(await call(client, 'release', { grant: ahead.grant })).toMatchObject({
      outcome: 'withdrawn',
    })
    expect(stderr()).toContain('jit mcp: acts as test-client, with a session handed on')
    const mine = await home.run(['whoami', '--json'])
    expect(JSON.parse(mine.stdout).principal).toMatchObject({ kind: 'human', name: 'dev' })
    const waits = { ...asked, environment: 'prod', targets: [], command, wait_seconds: 0 }
    expect(await call(client, 'run', waits)).toMatchObject({ outcome: 'pending' })
    await client.close()
    const events = await auditLog()
    const opened = events.find(({ event, agent }) => event === 'session.opened' && agent)
    expect(opened).toMatchObject({ agent: 'test-client' })
    const session = opened?.session
    const kinds = events.flatMap((one) => (one.grant && one.principal ? [one.principal.kind] : []))
    expect(new Set(kinds)).toEqual(new Set(['agent']))
    expect(events.findLast((one) => one.session === session)).toMatchObject({
      event: 'session.ended',
    })
  })

  test('stays ended once its person has ended it, and its command with it', async () => {
    await plane.signIn(home, 'dev')
    const { client } = await connect()
    const command = [NODE, '-e', 'setInterval(() => {}, 1000)']
    const asked = { environment: 'dev', task: 'plan', reason: 'to see', command }
    const running = call(client, 'run', asked)
    const held = async () => (await call(client, 'list_access', {})).grants[0]?.state
    while ((await held()) !== 'active') await new Promise((resolve) => setTimeout(resolve, 50))
    const { code, stderr } = await home.run(['revoke', '--agent', 'test-client'])
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(await running).toMatchObject({ outcome: 'access_ended' })
    for (const _ of [1, 2, 3]) {
      const answer = await call(client, 'list_access', {})
      expect(answer).toMatchObject({ outcome: 'failed', code: 'session_ended' })
    }
    await plane.signIn(home, 'dev')
    expect(await call(client, 'list_access', {})).toMatchObject({ outcome: 'listed' })
  })

  test.skipIf(absent(...SANDBOX))("works in a sandbox, with the sandbox's session", async () => {
    await plane.signIn(home, 'dev')
    const repository = join(home.directory, 'repository')
    mkdirSync(join(repository, '.git'), { recursive: true })
    writeFileSync(join(repository, 'client.mjs'), clientInside())
    const words = ['sandbox', '--agent', 'claude', '--', NODE, 'client.mjs']
    const jit = spawn(NODE, [JIT, ...words], { cwd: repository, env: home.env })
    jit.stdin.end()
    const { stdout, stderr } = await ended(jit)
    const answers = stdout.trim().split('\n')
    expect(answers, stderr).toHaveLength(2)
    expect(JSON.parse(answers[0] ?? '')).toMatchObject({ outcome: 'exited', stdout: 'true\n' })
    expect(JSON.parse(answers[1] ?? '')).toMatchObject({ outcome: 'pending' })
    const granted = (await auditLog()).findLast(({ event }) => event === 'grant.granted')
    expect(granted?.principal).toMatchObject({ kind: 'agent', name: 'claude, for dev' })
  })

  test('says who has to sign in where nobody is', async () => {
    home.env.JIT_BROKER = plane.broker
    const { client } = await connect()
    const answer = await call(client, 'list_access', {})
    expect(answer).toMatchObject({ outcome: 'failed', code: 'not_signed_in' })
    expect(answer.hint).toContain("'jit login --agent test-client'")
  })
})
