import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import {
  type ClientCapabilities,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  type Progress,
} from '@modelcontextprotocol/sdk/types.js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Deps } from '../../src/cli/deps.ts'
import { Calls } from '../../src/cli/mcp/calls.ts'
import { createMcpServer } from '../../src/cli/mcp/server.ts'
import { openKeystore } from '../../src/keystore/open.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import { credential, FakeBroker, problem, type Reply } from '../run/fake-broker.ts'
import { Home } from '../run/home.ts'
import { approvalBy, pendingGrant } from '../run/requests.ts'

const SECRET = 'correct-horse-battery-staple'
const ASK = { environment: 'dev', task: 'deploy' }
const NODE = process.execPath
const WAITS = { approvals: [{ group: 'platform-oncall', people: 1 as const }] }

let broker: FakeBroker
let home: Home
let notes: string[]

beforeEach(async () => {
  broker = await FakeBroker.start()
  broker.behaviour.credentials = [{ ...credential({ PGPASSWORD: SECRET }), secrets: [SECRET] }]
  home = new Home()
  // As if the copilot were signed in: its session is what the keystore has.
  await home.signIn(broker.url, 'claude')
  notes = []
  return async () => {
    home[Symbol.dispose]()
    await broker.stop()
  }
})

function depsOf(): Deps {
  const env = { ...home.env, JIT_AGENT: 'claude' }
  const paths = pathsFrom(env)
  const io = { note: (line: string) => notes.push(line), out: (line: string) => notes.push(line) }
  return {
    env,
    paths,
    cwd: home.directory,
    clock: systemClock,
    io,
    keystore: () => openKeystore({ env, paths }),
    atExit: new Set(),
    interrupted: new AbortController().signal,
  } as unknown as Deps
}

interface Opened {
  readonly client: Client
  readonly calls: Calls
  readonly gone: AbortController
}

const opened: Opened[] = []
afterEach(async () => {
  for (const { client, gone, calls } of opened.splice(0)) {
    await client.close()
    gone.abort()
    await calls.settled()
  }
})

async function open(capabilities: ClientCapabilities = {}): Promise<Opened> {
  const gone = new AbortController()
  const calls = new Calls()
  const server = createMcpServer({ deps: depsOf(), calls, gone: gone.signal })
  const client = new Client({ name: 'Test Client', version: '1' }, { capabilities })
  const [here, there] = InMemoryTransport.createLinkedPair()
  await server.connect(there)
  await client.connect(here)
  opened.push({ client, calls, gone })
  return { client, calls, gone }
}

/** Calls a tool; whatever it answers, no credential is in it. */
async function call(
  { client }: Pick<Opened, 'client'>,
  name: string,
  input: Record<string, unknown>,
  options: { signal?: AbortSignal; onprogress?: (progress: Progress) => void } = {},
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
): Promise<{ text: string; data: any; failed: boolean }> {
  const result = await client.callTool({ name, arguments: input }, undefined, options)
  expect(JSON.stringify(result)).not.toContain(SECRET)
  const [{ text }] = result.content as [{ text: string }]
  return { text, data: result.structuredContent, failed: result.isError === true }
}

const script = (text: string) => [NODE, '-e', text]

describe('the tools', () => {
  test('say what they are for, with strict schemas and honest hints', async () => {
    const { client } = await open()
    const { tools } = await client.listTools()
    expect(
      tools.map(({ name, annotations = {} }) => [
        name,
        annotations.readOnlyHint,
        annotations.destructiveHint ?? false,
      ]),
    ).toEqual([
      ['request_access', false, false],
      ['run', false, true],
      ['list_access', true, false],
      ['release', false, true],
      ['explain_denial', true, false],
    ])
    for (const { inputSchema, description } of tools) {
      expect(inputSchema).toMatchObject({ type: 'object', additionalProperties: false })
      expect(description?.length).toBeLessThan(320)
    }
    expect(client.getInstructions()).toContain('never see a credential')
  })

  test('that are none are refused by the protocol', async () => {
    const { client } = await open()
    await expect(client.callTool({ name: 'approve', arguments: {} })).rejects.toMatchObject({
      code: -32602,
    })
  })

  test.each([
    ['run', {}],
    ['run', { command: 'ls' }],
    ['run', { command: [] }],
    ['run', { ...ASK, command: ['true'], shell: true }],
    ['run', { ...ASK, command: ['true'], wait_seconds: -1 }],
    ['run', { ...ASK, command: ['true'], timeout_seconds: 1e9 }],
    ['release', { grant: '../../x' }],
    ['explain_denial', { grant: 7 }],
    ['list_access', { scope: 'all' }],
  ])('%s says what is wrong with %j, and asks for nothing', async (name, input) => {
    const { data, failed } = await call(await open(), name, input)
    expect(failed).toBe(true)
    expect(data).toMatchObject({ outcome: 'failed', code: 'request_invalid' })
    expect(broker.upgrades).toEqual([])
  })

  test('name the field, not the flag, that is missing', async () => {
    const { text } = await call(await open(), 'run', { task: 'deploy', command: ['true'] })
    expect(text).toContain('environment is missing')
    expect(text).not.toContain('--')
  })
})

describe('run', () => {
  test('runs a command with its credentials, and gives them back', async () => {
    const command = script(
      'process.stdin.pipe(process.stdout); console.error(process.env.JIT_AGENT)',
    )
    const { data, text, failed } = await call(await open(), 'run', {
      ...ASK,
      command,
      stdin: 'hello',
    })
    expect(failed).toBe(false)
    expect(data).toMatchObject({
      outcome: 'exited',
      exit_code: 0,
      signal: null,
      stdout: 'hello',
      stderr: 'claude\n',
      grant: broker.grant,
      leases: [{ target: 'shop-db', outcome: 'revoked' }],
    })
    expect(text).toContain('it ran to its end: exit code 0')
    const { details } = await broker.waitFor('request')
    expect(details).toMatchObject({
      environment: 'dev',
      task: 'deploy',
      command: { argv: command },
    })
    expect((await broker.waitFor('release')).outcome).toEqual({ code: 0, signal: null })
  })

  test('shows an output with its secrets masked, in each of their forms', async () => {
    const print = `const s = process.env.PGPASSWORD
      process.stdout.write(s.slice(0, 9))
      setTimeout(() => console.log(s.slice(9), Buffer.from(s).toString('base64')), 50)
      console.error(Buffer.from(s).toString('hex'))`
    const { data } = await call(await open(), 'run', { ...ASK, command: script(print) })
    // The last letters of base64 depend on what follows them.
    expect(data.stdout).toMatch(/^\[masked\] \[masked\]\S{0,4}\n$/)
    expect(data.stderr).toBe('[masked]\n')
  })

  test('writes to pipes that a command can open again', async () => {
    const command = ['sh', '-c', 'echo out > /dev/stdout; echo err > /dev/stderr']
    const { data } = await call(await open(), 'run', { ...ASK, command })
    expect(data).toMatchObject({ stdout: 'out\n', stderr: 'err\n', exit_code: 0 })
  })

  test('answers when the command ends, whatever it leaves running', async () => {
    const command = ['sh', '-c', 'sleep 30 & echo done']
    const { data } = await call(await open(), 'run', { ...ASK, command })
    expect(data).toMatchObject({ outcome: 'exited', stdout: 'done\n' })
    expect(data.seconds).toBeLessThan(20)
  })

  test('keeps no more of an output than its beginning and its end', async () => {
    const print = `for (let i = 0; i < 60000; i++) console.log('line', i)`
    const { data } = await call(await open(), 'run', { ...ASK, command: script(print) })
    expect(data.stdout.length).toBeLessThan(101_000)
    expect(data.stdout_omitted_bytes).toBeGreaterThan(500_000)
    expect(data.stdout).toMatch(/^line 0\n.*bytes left out here.*line 59999\n$/s)
  })

  test('tells how a command ended that failed', async () => {
    const tools = await open()
    const failing = await call(tools, 'run', { ...ASK, command: script('process.exit(3)') })
    expect(failing).toMatchObject({ failed: false, data: { outcome: 'exited', exit_code: 3 } })
    const killed = await call(tools, 'run', {
      ...ASK,
      command: script('process.kill(process.pid)'),
    })
    expect(killed.data).toMatchObject({ outcome: 'exited', exit_code: null, signal: 'SIGTERM' })
  })

  test('asks for nothing where the command is not there', async () => {
    const { data, failed } = await call(await open(), 'run', { ...ASK, command: ['no-such-thing'] })
    expect({ data, failed }).toMatchObject({ failed: true, data: { code: 'command_not_found' } })
    expect(broker.upgrades).toEqual([])
  })

  test('stops a command at its timeout, and gives the grant back', async () => {
    const command = script('process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)')
    const { data, failed } = await call(await open(), 'run', {
      ...ASK,
      command,
      timeout_seconds: 1,
    })
    expect({ data, failed }).toMatchObject({
      failed: true,
      data: { outcome: 'timed_out', signal: 'SIGKILL' },
    })
    await broker.waitFor('release')
  })

  test('stops a command when the broker ends its grant, and says why', async () => {
    const running = call(await open(), 'run', {
      ...ASK,
      command: script('setInterval(() => {}, 9)'),
    })
    await broker.waitFor('received')
    broker.revoke('revoked', 'revoked by dana')
    const { data, failed, text } = await running
    expect({ data, failed }).toMatchObject({ failed: true, data: { outcome: 'access_ended' } })
    expect(text).toContain('revoked by dana')
  })

  test('is cancelled: the command ends, the grant is given back', async () => {
    const cancelling = new AbortController()
    const tools = await open()
    const input = { ...ASK, command: script('setInterval(() => {}, 9)') }
    const running = call(tools, 'run', input, { signal: cancelling.signal })
    await broker.waitFor('received')
    cancelling.abort('enough')
    await expect(running).rejects.toThrow('enough')
    expect((await broker.waitFor('release')).outcome).toMatchObject({ signal: 'SIGTERM' })
    await tools.calls.settled()
  })

  test('runs eight commands at once, each on a line of its own, and no ninth', async () => {
    const tools = await open()
    const input = { ...ASK, command: script('setInterval(() => {}, 9)') }
    const cancelling = new AbortController()
    const running = Array.from({ length: 8 }, () =>
      call(tools, 'run', input, { signal: cancelling.signal }).catch((error) => error),
    )
    await broker.waitFor('received', 8)
    const ninth = await call(tools, 'run', input)
    expect(ninth).toMatchObject({ failed: true, data: { code: 'limit_reached' } })
    expect(broker.upgrades).toHaveLength(8)
    cancelling.abort()
    await Promise.all(running)
    await broker.waitFor('release', 8)
  })

  test('runs nowhere but below the roots of the client', async () => {
    mkdirSync(join(home.directory, 'repo'))
    const tools = await open({ roots: {} })
    tools.client.setRequestHandler(ListRootsRequestSchema, () => ({
      roots: [{ uri: pathToFileURL(join(home.directory, 'repo')).href }],
    }))
    const command = script('console.log(process.cwd())')
    const inside = await call(tools, 'run', { ...ASK, command })
    expect(inside.data.stdout).toBe(`${join(home.directory, 'repo')}\n`)
    const outside = await call(tools, 'run', { ...ASK, command, directory: home.directory })
    expect(outside).toMatchObject({ failed: true, data: { code: 'usage' } })
  })

  test('tells how far it is', async () => {
    const told: Progress[] = []
    const onprogress = (progress: Progress) => told.push(progress)
    await call(await open(), 'run', { ...ASK, command: ['true'] }, { onprogress })
    const words = told.map(({ message }) => message)
    expect(words).toEqual(
      expect.arrayContaining([
        'deploy in dev, asks for shop-db',
        expect.stringContaining('granted until'),
        expect.stringContaining('running'),
      ]),
    )
    const steps = told.map(({ progress }) => progress)
    expect(steps).toEqual(steps.toSorted((a, b) => a - b))
  })

  test('says why a request was denied, and what would help', async () => {
    broker.behaviour.answer = (message, line) => {
      if (message.type !== 'request') return false
      const asked = { environment: 'dev', tier: 'test', task: 'deploy', targets: [], ttl: 9 }
      line.send({ type: 'requested', grant: broker.grant, ...asked })
      line.send({ type: 'problem', problem: problem('denied', 403, 'forbidden by policy prod-no') })
      line.socket.close(4000)
      return true
    }
    const policy = {
      id: 'prod-no',
      effect: 'forbid',
      attributes: { 'resource.tier': 'production' },
    }
    const answers = [
      {
        target: 'shop-db',
        asked: 'principal',
        effect: 'deny',
        because: 'forbidden',
        policies: [policy],
        near: [],
      },
    ]
    const today = { version: 'v'.repeat(12), decision: 'deny', answers }
    const explained = {
      grant: broker.grant,
      environment: 'dev',
      task: 'deploy',
      today,
      recorded: [],
    }
    broker.behaviour.http = ({ route }): Reply | undefined =>
      route.startsWith('GET /v1/policy/explain') ? { body: explained } : undefined
    const { data, failed, text } = await call(await open(), 'run', { ...ASK, command: ['true'] })
    expect({ data, failed }).toMatchObject({
      failed: true,
      data: { outcome: 'denied', code: 'denied', grant: broker.grant },
    })
    expect(text).toContain('forbidden by policy prod-no')
    expect(text).toContain('resource.tier = "production"')
  })
})

describe('what people have to approve', () => {
  beforeEach(() => {
    broker.behaviour.obligation = WAITS
  })
  const input = { ...ASK, command: ['true'] }

  test('is left waiting, with how to go on, and told to the person at the client', async () => {
    const tools = await open()
    const logged: unknown[] = []
    tools.client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
      logged.push(params.data)
    })
    const { data, failed, text } = await call(tools, 'run', { ...input, wait_seconds: 0 })
    expect(failed).toBe(false)
    expect(data).toMatchObject({
      outcome: 'pending',
      grant: broker.grant,
      waits_for: 'platform-oncall',
      approve_with: `jit approve ${broker.grant}`,
      lapses_at: expect.any(String),
    })
    expect(text).toContain('nothing has been run')
    await broker.waitFor('detach')
    expect(logged).toEqual([
      `true: waiting for platform-oncall (they run: jit approve ${broker.grant})`,
    ])
    expect(broker.calls).toEqual([])
  })

  test('runs as soon as it is approved, where the call waits', async () => {
    const running = call(await open(), 'run', input)
    expect(await broker.waitFor('redeem')).toMatchObject({ grant: broker.grant })
    broker.approve(approvalBy('dana'))
    expect((await running).data).toMatchObject({ outcome: 'exited', exit_code: 0 })
  })

  test('is gone on with by its id, for the very same command', async () => {
    const tools = await open()
    const { data } = await call(tools, 'run', { ...input, wait_seconds: 0 })
    delete broker.behaviour.obligation
    const { grant } = data
    const again = await call(tools, 'run', { command: ['true'], grant })
    expect(again.data).toMatchObject({ outcome: 'exited', grant })
    const more = await call(tools, 'run', { ...input, grant })
    expect(more.text).toContain("environment can't be given beside grant")
  })

  test('still waits when the time given to the call is over', async () => {
    const { data } = await call(await open(), 'run', { ...input, wait_seconds: 1 })
    expect(data).toMatchObject({ outcome: 'pending', grant: broker.grant })
    expect(broker.calls).toEqual([])
  })

  test('is taken back when the call that waits for it is cancelled', async () => {
    const body = { grant: broker.grant, state: 'refused' }
    broker.behaviour.http = () => ({ body })
    const cancelling = new AbortController()
    const tools = await open()
    const running = call(tools, 'run', input, { signal: cancelling.signal })
    await broker.waitFor('redeem')
    cancelling.abort('enough')
    await expect(running).rejects.toThrow('enough')
    await broker.waitForCall(`POST /v1/grants/${broker.grant}/revoke`)
  })

  test('is shown to the person at the client, who may take it back', async () => {
    broker.behaviour.http = () => ({ body: { grant: broker.grant, state: 'refused' } })
    const tools = await open({ elicitation: { form: {} } })
    const shown: string[] = []
    tools.client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      shown.push(params.message)
      return { action: 'decline' }
    })
    const { data, failed } = await call(tools, 'run', input)
    expect({ data, failed }).toMatchObject({ failed: true, data: { outcome: 'denied' } })
    expect(shown[0]).toContain('claude asks to run: true')
    expect(shown[0]).toContain('this approves nothing')
    await broker.waitForCall(`POST /v1/grants/${broker.grant}/revoke`)
  })

  test('is not approved by whatever the person at the client answers', async () => {
    const tools = await open({ elicitation: { form: {} } })
    tools.client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: {} }))
    const { data } = await call(tools, 'run', { ...input, wait_seconds: 1 })
    expect(data).toMatchObject({ outcome: 'pending' })
    expect(broker.calls).toEqual([])
  })
})

describe('the other tools', () => {
  const asked = { ...ASK, command: ['true'], reason: 'release 41' }
  const routes =
    (answers: Record<string, Reply['body']>) =>
    ({ route }: { route: string }): Reply | undefined => {
      const body = answers[route]
      return body === undefined ? undefined : { body }
    }

  test('request_access asks ahead, and says what it waits for', async () => {
    broker.behaviour.http = routes({ 'POST /v1/grants': pendingGrant(broker.grant) })
    const { data, failed } = await call(await open(), 'request_access', asked)
    expect({ data, failed }).toMatchObject({
      failed: false,
      data: { outcome: 'pending', grant: broker.grant, waits_for: 'platform-oncall' },
    })
    expect(broker.calls).toMatchObject([{ body: { details: { reason: 'release 41' } } }])
    expect(broker.upgrades).toEqual([])
  })

  test('request_access takes back what it asked for when it is cancelled meanwhile', async () => {
    const cancelling = new AbortController()
    const tools = await open()
    const asking = call(tools, 'request_access', asked, { signal: cancelling.signal })
    broker.behaviour.http = async ({ route }) => {
      if (route.endsWith('/revoke')) return { body: { grant: broker.grant, state: 'refused' } }
      cancelling.abort('enough')
      await asking.catch(() => {})
      return { body: pendingGrant(broker.grant) }
    }
    await expect(asking).rejects.toThrow('enough')
    await broker.waitForCall(`POST /v1/grants/${broker.grant}/revoke`)
  })

  test('request_access says what may be used at once', async () => {
    const approved = pendingGrant(broker.grant, { state: 'approved' })
    broker.behaviour.http = routes({ 'POST /v1/grants': approved })
    const { data } = await call(await open(), 'request_access', asked)
    expect(data).toMatchObject({ outcome: 'approved', grant: broker.grant })
  })

  test('request_access says why not', async () => {
    const denied = { ...problem('denied', 403, 'forbidden by policy no'), grant: broker.grant }
    const explained = { grant: broker.grant, environment: 'dev', task: 'deploy', recorded: [] }
    broker.behaviour.http = ({ route }) =>
      route.startsWith('GET') ? { body: explained } : { status: 403, body: denied }
    const { data, failed, text } = await call(await open(), 'request_access', asked)
    expect({ data, failed }).toMatchObject({
      failed: true,
      data: { outcome: 'denied', grant: broker.grant },
    })
    expect(text).toContain('nothing can be said')
  })

  test('list_access lists what is held and what waits', async () => {
    const grants = [pendingGrant(broker.grant)]
    broker.behaviour.http = routes({ 'GET /v1/grants?scope=mine': { grants } })
    const { data, text } = await call(await open(), 'list_access', {})
    expect(data.grants).toMatchObject([
      { grant: broker.grant, state: 'pending', waits_for: 'platform-oncall', targets: ['shop-db'] },
    ])
    expect(text).toContain('terraform apply')
  })

  test('release gives a grant back, or takes a request back', async () => {
    const revoke = `POST /v1/grants/${broker.grant}/revoke`
    broker.behaviour.http = routes({ [revoke]: broker.receipt() })
    const tools = await open()
    const released = await call(tools, 'release', { grant: broker.grant })
    expect(released.data).toMatchObject({ outcome: 'released', leases: [{ outcome: 'revoked' }] })
    broker.behaviour.http = routes({ [revoke]: { grant: broker.grant, state: 'refused' } })
    const withdrawn = await call(tools, 'release', { grant: broker.grant })
    expect(withdrawn.data).toMatchObject({ outcome: 'withdrawn' })
  })

  test('explain_denial says there is none where there is none', async () => {
    const { data, failed } = await call(await open(), 'explain_denial', { grant: 'g_nothing' })
    expect({ data, failed }).toMatchObject({ failed: true, data: { code: 'not_found' } })
  })
})
