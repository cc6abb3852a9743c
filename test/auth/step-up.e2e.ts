import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DEV_POLICIES } from '../../src/dev/policies.ts'
import { Home, JIT } from '../run/home.ts'
import { Browser, type Choices, confirmDevice, walkLogin } from '../servers/browser.ts'
import { ControlPlane } from '../servers/control-plane.ts'

/** Production wants the stronger sign-in, staging one of the last five minutes; nothing else is asked. */
const POLICIES = `
@id("all") permit (principal, action in [Action::"plan", Action::"deploy"], resource);
@id("production-needs-mfa") forbid (principal, action, resource)
when { resource.tier == "production" } unless { context.authentication.acr == "urn:jit:mfa" };
@id("staging-needs-a-fresh-sign-in") forbid (principal, action, resource)
when { resource.tier == "staging" } unless { context.authentication.age <= 300 };
`
const READ_THE_LOG = `
@id("log") permit (principal in Group::"jit-admins", action == Action::"audit", resource);
`

let data: string
let plane: ControlPlane
let home: Home
beforeAll(async () => {
  data = mkdtempSync(join(tmpdir(), 'jit-step-up-'))
  mkdirSync(join(data, 'policies'))
  for (const { name } of DEV_POLICIES) writeFileSync(join(data, 'policies', name), '')
  writeFileSync(join(data, 'policies', 'step-up.cedar'), `${POLICIES}${READ_THE_LOG}`)
  plane = await ControlPlane.start({ data })
})
afterAll(async () => {
  await plane?.stop()
  rmSync(data, { recursive: true, force: true })
})
beforeEach(() => {
  home = new Home()
})
afterEach(() => home[Symbol.dispose]())

/** The next second: providers count sign-ins in whole ones. */
async function laterThan(seconds: number): Promise<void> {
  await expect.poll(() => Date.now() / 1000).toBeGreaterThan(seconds + 1)
}

/** Signs in by hand, with flags, as a script would. */
async function login(flags: readonly string[], choices: Choices) {
  const jit = home.start(['login', plane.broker, '--json', ...flags])
  if (!jit.stdout || !jit.stderr) throw new Error('expected pipes')
  let stderr = ''
  jit.stderr.on('data', (chunk) => {
    stderr += String(chunk)
  })
  const ended = new Promise<number | null>((resolve) => jit.on('close', resolve))
  const titles: string[] = []
  for await (const line of createInterface({ input: jit.stdout })) {
    const event = JSON.parse(line) as Record<string, string>
    const { verification_uri_complete: verificationUriComplete, authorization_uri } = event
    if (verificationUriComplete) {
      titles.push(...(await confirmDevice({ verificationUriComplete, ...choices })))
    }
    if (authorization_uri) titles.push(...(await walkLogin(new URL(authorization_uri), choices)))
  }
  return { code: await ended, stderr, titles }
}

/** What the log says of the sessions of `name`, the latest first. */
async function sessionEvents(name: string): Promise<Record<string, unknown>[]> {
  using admin = new Home()
  await plane.signIn(admin, 'admin')
  const { stdout } = await admin.run(['audit', '--json'])
  const entries = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const sessions = entries.filter(({ event }) => event.startsWith('session.'))
  return sessions.filter(({ principal }) => principal?.name === name).reverse()
}

describe('jit login', () => {
  test.each([
    ['the device flow', ['--fresh'], undefined],
    ['the loopback flow', ['--fresh', '--browser'], undefined],
    ['the device flow, stronger', ['--acr', 'urn:jit:mfa'], 'urn:jit:mfa'],
    ['the loopback flow, stronger', ['--acr', 'urn:jit:mfa', '--browser'], 'urn:jit:mfa'],
  ])('by hand, through %s, goes on with the same session', async (_, flags, acr) => {
    const browser = new Browser()
    const choices = { login: 'dev', browser }
    expect((await login([], choices)).code).toBe(0)
    const before = Math.floor(Date.now() / 1000)
    await laterThan(before)
    const again = await login(flags, choices)
    expect(again).toMatchObject({ code: 0, stderr: '' })
    // The browser remembers who signed in a second ago: that is not enough.
    expect(again.titles).toContain('Choose an account')
    expect(again.titles.includes('Confirm once more')).toBe(acr !== undefined)
    const [renewed, opened] = await sessionEvents('dev')
    expect(renewed).toMatchObject({ event: 'session.renewed', session: opened?.session })
    expect(Date.parse(String(renewed?.authenticated_at)) / 1000).toBeGreaterThan(before)
    expect(renewed?.acr).toBe(acr)
    expect((await home.run(['whoami'])).code).toBe(0)
  })

  test('another account is refused, and the session stays as it was', async () => {
    await plane.signIn(home, 'dev')
    const { code, stderr } = await login(['--fresh'], { login: 'lead' })
    expect(code).toBe(4)
    expect(JSON.parse(stderr).error).toMatchObject({
      message: expect.stringContaining('the session is that of dev'),
      hint: expect.stringContaining('sign in as dev'),
    })
    const { stdout } = await home.run(['whoami', '--json'])
    expect(JSON.parse(stdout).principal.name).toBe('dev')
  })
})

/** Whoever is signed in did so an hour ago. */
function anHourAgo(): void {
  const ledger = new DatabaseSync(join(data, 'ledger.db'))
  ledger.exec('PRAGMA busy_timeout = 5000')
  ledger.exec('UPDATE sessions SET authenticated_at = authenticated_at - 3600000')
  ledger.close()
}

/** Runs `jit` on a terminal, and confirms every sign-in that it asks for. */
async function onTerminal(args: readonly string[], choices: Choices) {
  const pty = home.terminal(process.execPath, [JIT, ...args])
  let text = ''
  const confirmed = new Set<string>()
  const titles: string[] = []
  pty.onData((chunk) => {
    text += chunk
    for (const [, link = ''] of text.matchAll(/Open \S*?(http\S+?user_code=[A-Z]{4}-[A-Z]{4})/g)) {
      confirm(link, () => confirmDevice({ verificationUriComplete: link, ...choices }))
    }
    for (const [, link = ''] of text.matchAll(/Sign in at\s+(http\S+)\r\n/g)) {
      confirm(link, () => walkLogin(new URL(link), choices))
    }
  })
  const confirm = (link: string, walk: () => Promise<string[]>) => {
    if (confirmed.has(link)) return
    confirmed.add(link)
    void walk().then((seen) => titles.push(...seen))
  }
  const code = await new Promise<number>((resolve) =>
    pty.onExit(({ exitCode }) => resolve(exitCode)),
  )
  return { code, text, titles, asked: confirmed.size }
}

const run = (environment: string) =>
  ['exec', '--env', environment, '--task', 'plan', '--', 'sh', '-c', 'echo done'] as const

describe('jit exec, where policy wants another sign-in', () => {
  test('asks for the stronger one on a terminal, and goes on with the same request', async () => {
    await plane.signIn(home, 'dev')
    const { code, text, titles, asked } = await onTerminal(run('prod'), { login: 'dev' })
    expect({ code, asked }).toEqual({ code: 0, asked: 1 })
    expect(text).toContain('with urn:jit:mfa')
    expect(text).toContain('signed in again as dev')
    expect(text).toContain('done')
    expect(titles).toContain('Confirm once more')
    // The next one in the same session is not asked again.
    expect(await onTerminal(run('prod'), { login: 'dev' })).toMatchObject({ code: 0, asked: 0 })
  })

  test('asks for a fresh one on a terminal', async () => {
    await plane.signIn(home, 'dev')
    expect(await onTerminal(run('staging'), { login: 'dev' })).toMatchObject({ code: 0, asked: 0 })
    anHourAgo()
    const { code, text, asked } = await onTerminal(run('staging'), { login: 'dev' })
    expect({ code, asked }).toEqual({ code: 0, asked: 1 })
    expect(text).toContain('policy wants a sign-in of the last')
  })

  test('asks through the browser of this machine where the session was opened that way', async () => {
    expect((await login(['--browser'], { login: 'dev' })).code).toBe(0)
    home.env.JIT_BROKER = plane.broker
    const { code, text, titles } = await onTerminal(run('prod'), { login: 'dev' })
    expect(code).toBe(0)
    expect(text).toMatch(/Sign in at\s+http/)
    expect(text).not.toContain('confirm the code')
    expect(titles).toContain('Confirm once more')
  })

  test('without a terminal it fails, and names the jit login that helps', async () => {
    await plane.signIn(home, 'dev')
    const { code, stderr } = await home.run(run('prod'))
    expect(code).toBe(125)
    expect(stderr).toContain('policy wants a sign-in of the last 1m, with urn:jit:mfa')
    expect(stderr).toContain('jit login --acr urn:jit:mfa')
    expect((await login(['--acr', 'urn:jit:mfa'], { login: 'dev' })).code).toBe(0)
    expect((await home.run(run('prod'))).code).toBe(0)
  })
})
