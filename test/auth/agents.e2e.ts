import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { entryName, readSession, writeSession } from '../../src/auth/session.ts'
import { openKeystore } from '../../src/keystore/open.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import { ended, Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'

let plane: ControlPlane
let home: Home

beforeAll(async () => {
  plane = await ControlPlane.start()
})
afterAll(() => plane.stop())

beforeEach(async () => {
  home = new Home()
  await plane.signIn(home, 'dev')
  return () => home[Symbol.dispose]()
})

const CLAUDE = { JIT_AGENT: 'claude' }

async function whoami(env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await home.run(['whoami', '--json'], env)
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

const delegated = (...flags: string[]) =>
  home.run(['login', '--agent', 'claude', '--delegate', ...flags])

const exec = (env: Record<string, string>, { task = 'plan', to = 'dev' } = {}) =>
  home.run(['exec', '--env', to, '--task', task, '--', process.execPath, '-e', '0'], env)

/** Starts a command that holds a grant until it is told to end. */
async function hold(env: Record<string, string>) {
  const work = `console.log(process.env.JIT_GRANT); process.stdin.resume()`
  const flags = ['exec', '--env', 'dev', '--task', 'plan', '--', process.execPath, '-e', work]
  const jit = home.start(flags, env)
  if (!jit.stdout) throw new Error('expected a pipe')
  const lines = createInterface({ input: jit.stdout })
  const grant = await new Promise<string>((resolve) => lines.once('line', resolve))
  return { jit, grant, ended: ended(jit) }
}

/** As if the token had run out, so that the next command has to renew it. */
async function expire(name: { agent?: string }) {
  // Within the second of a sign-in its provider would issue the same identity token once more.
  await delay(1000 - (Date.now() % 1000))
  const keystore = await openKeystore({ env: home.env, paths: pathsFrom(home.env) })
  const session = await readSession(keystore, { broker: plane.broker, ...name })
  if (!session) throw new Error('expected a session')
  await writeSession(keystore, { ...session, access_token_expires_at: 0 })
  return session
}

describe('a copilot that signs in as itself', () => {
  test('is shown to the person as one, is owned by them, and works beside them', async () => {
    const titles = await plane.signInAgent(home, { login: 'dev', name: 'claude' })
    expect(titles).toEqual([
      'Confirm the code of a copilot',
      'Choose an account',
      'Let the copilot claude work for you',
      'Signed in',
    ])
    const person = await whoami()
    const agent = await whoami(CLAUDE)
    expect(person.principal).toMatchObject({ kind: 'human', name: 'dev' })
    expect(agent.principal).toEqual({
      kind: 'agent',
      id: `${person.principal.id}#jit-agent/claude`,
      name: 'claude, for dev',
      groups: [],
      owner: person.principal.id,
    })
    expect((await exec(CLAUDE)).code).toBe(0)
    expect((await exec({})).code).toBe(0)
  })

  test('renews its session at the provider, as itself', async () => {
    await plane.signInAgent(home, { login: 'dev', name: 'claude' })
    await expire({ agent: 'claude' })
    expect((await whoami(CLAUDE)).principal.kind).toBe('agent')
  })

  test('signs in anew on the session that it has; the person’s stays as it was', async () => {
    await plane.signInAgent(home, { login: 'dev', name: 'claude' })
    const keystore = await openKeystore({ env: home.env, paths: pathsFrom(home.env) })
    const { broker } = plane
    const both = async () => [
      await readSession(keystore, { broker }),
      await readSession(keystore, { broker, agent: 'claude' }),
    ]
    const [person, agent] = await both()
    await plane.signInAgent(home, { login: 'dev', name: 'claude', fresh: true })
    const [samePerson, newer] = await both()
    expect(samePerson).toEqual(person)
    expect(newer?.jwk).toEqual(agent?.jwk)
    expect(newer?.access_token).not.toBe(agent?.access_token)
  })

  test('takes the place of a session that was handed on to it', async () => {
    await delegated('--task', 'plan')
    await plane.signInAgent(home, { login: 'dev', name: 'claude', fresh: true })
    expect((await whoami(CLAUDE)).principal.id).toContain('#jit-agent/claude')
    expect(await whoami(CLAUDE)).not.toHaveProperty('ceiling')
  })

  test('signs out alone: the person stays', async () => {
    await plane.signInAgent(home, { login: 'dev', name: 'claude' })
    expect((await home.run(['logout', '--agent', 'claude'])).stderr).toContain('claude: signed out')
    const { code, stderr } = await home.run(['whoami'], CLAUDE)
    expect(code).toBe(4)
    expect(stderr).toContain('jit login --agent claude')
    expect((await whoami()).principal.kind).toBe('human')
  })
})

describe('a session handed on to a copilot', () => {
  test('needs no browser, is an agent of the person, and says what it may ask for', async () => {
    const { code, stderr, stdout } = await delegated(
      '--task',
      'plan',
      '--env',
      'dev',
      '--ttl',
      '1h',
    )
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    expect(stderr).toContain('claude, for dev may work at')
    expect(stderr).toContain('JIT_AGENT=claude')
    const { principal, ceiling, session_expires_at } = await whoami(CLAUDE)
    expect(principal).toMatchObject({ kind: 'agent', name: 'claude, for dev' })
    expect(ceiling).toEqual({ tasks: ['plan'], environments: ['dev'] })
    const left = Date.parse(session_expires_at) - Date.now()
    expect(left).toBeGreaterThan(59 * 60_000)
    expect(left).toBeLessThanOrEqual(60 * 60_000)
    expect((await home.run(['whoami', '--agent', 'claude'])).stdout).toContain(
      'tasks at most: plan',
    )
    expect((await home.run(['status'], CLAUDE)).stdout).toContain('environments at most: dev')
  })

  test('can not exceed what it was given, though its person could', async () => {
    await delegated('--task', 'plan', '--env', 'dev', '--target', 'dev-api')
    expect((await exec(CLAUDE)).code).toBe(0)
    for (const beyond of [{ task: 'deploy' }, { to: 'staging' }]) {
      const { code, stderr } = await exec(CLAUDE, beyond)
      expect(code).toBe(125)
      expect(stderr).toContain('outside what this session was given')
      expect(stderr).toContain('jit: hint: only your owner can give you more')
      expect((await exec({}, beyond)).code).toBe(0)
    }
  })

  test('can not be handed on, nor widened, by the copilot that has it', async () => {
    await delegated('--task', 'plan')
    const keystore = await openKeystore({ env: home.env, paths: pathsFrom(home.env) })
    const theirs = await keystore.get(entryName({ broker: plane.broker, agent: 'claude' }))
    // A machine where the copilot's session is all there is.
    const { agent: _, ...alone } = JSON.parse(String(theirs))
    await keystore.set(entryName({ broker: plane.broker }), JSON.stringify(alone))
    const { code, stderr } = await delegated()
    expect(code).toBe(3)
    expect(stderr).toContain('only a person can delegate')
  })

  test('ends with the session that it comes from, and its work with it', async () => {
    await delegated()
    const { jit, ended: over } = await hold(CLAUDE)
    expect((await home.run(['logout'])).code).toBe(0)
    const { code, signal } = await over
    expect({ code, signal }).toEqual({ code: null, signal: 'SIGTERM' })
    expect(jit.exitCode).not.toBe(0)
    expect((await home.run(['whoami'], CLAUDE)).code).toBe(4)
  })

  test('ends alone: the person and what they run are untouched', async () => {
    await delegated()
    const { jit, ended: over } = await hold({})
    expect((await home.run(['logout', '--agent', 'claude'])).code).toBe(0)
    expect((await home.run(['whoami'], CLAUDE)).code).toBe(4)
    expect((await whoami()).principal.kind).toBe('human')
    jit.stdin?.end()
    expect((await over).code).toBe(0)
  })

  test('goes on without a browser, and keeps the session that it comes from alive', async () => {
    await delegated('--task', 'plan')
    const before = await expire({})
    const [agent] = [await expire({ agent: 'claude' })]
    expect((await exec(CLAUDE)).code).toBe(0)
    expect((await whoami(CLAUDE)).ceiling).toEqual({ tasks: ['plan'] })
    const keystore = await openKeystore({ env: home.env, paths: pathsFrom(home.env) })
    const { broker } = plane
    const person = await readSession(keystore, { broker })
    expect(person?.access_token).not.toBe(before.access_token)
    expect(person?.refresh_token).not.toBe(before.refresh_token)
    const renewed = await readSession(keystore, { broker, agent: 'claude' })
    expect(renewed?.access_token).not.toBe(agent.access_token)
    expect(renewed?.jwk).toEqual(agent.jwk)
  })

  test('is renewed where the session that it comes from is not kept', async () => {
    await delegated('--task', 'plan')
    await expire({ agent: 'claude' })
    const keystore = await openKeystore({ env: home.env, paths: pathsFrom(home.env) })
    await keystore.delete(entryName({ broker: plane.broker }))
    expect((await exec(CLAUDE)).code).toBe(0)
  })

  test('is told apart from the person in grants and in the log', async () => {
    await delegated()
    const { jit, grant, ended: over } = await hold(CLAUDE)
    expect((await home.run(['grants'])).stdout).toContain('claude, for dev')
    const shown = JSON.parse((await home.run(['show', grant, '--json'], CLAUDE)).stdout)
    expect(shown.grants[0].principal).toMatchObject({ kind: 'agent', name: 'claude, for dev' })
    jit.stdin?.end()
    await over
    const admin = new Home()
    await plane.signIn(admin, 'admin')
    const { stdout } = await admin.run(['audit', '--json'])
    admin[Symbol.dispose]()
    const entries = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(entries.find((entry) => entry.grant === grant).principal.name).toBe('claude, for dev')
    const opened = entries.filter(({ event, agent }) => event === 'session.opened' && agent)
    expect(opened.at(-1)).toMatchObject({ agent: 'claude', parent: expect.any(String) })
  })
})

describe('what goes wrong is said', () => {
  test.each([
    [['login', '--delegate'], 'add --agent NAME'],
    [['login', '--agent', 'claude', '--task', 'plan'], 'add --delegate'],
    [['login', '--agent', 'claude', '--delegate', '--browser'], 'nobody signs in'],
    [['login', '--agent', 'claude', '--workload=env:TOKEN'], 'a job is no copilot'],
    [['login', '--agent', 'Claude Code', '--delegate'], 'is not the name of an agent'],
  ])('jit %j', async (args, message) => {
    const { code, stderr } = await home.run(args)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })

  test('a task that there is not is told at once, not when it is needed', async () => {
    const { code, stderr } = await delegated('--task', 'deplyo')
    expect(code).not.toBe(0)
    expect(stderr).toContain("did you mean 'deploy'?")
    expect((await home.run(['whoami'], CLAUDE)).code).toBe(4)
  })

  test('nobody to delegate from: the way on is named', async () => {
    await home.run(['logout'])
    const { code, stderr } = await delegated()
    expect(code).toBe(4)
    expect(stderr).toContain('jit login')
  })
})
