import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { git } from '../context/repositories.ts'
import { ended, Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { Database } from '../servers/database.ts'
import { startPostgres } from '../servers/postgres.ts'
import { exec, signIn } from './signing-in.ts'

let postgres: Awaited<ReturnType<typeof startPostgres>>
let database: Database
let plane: ControlPlane
let home: Home
const data = mkdtempSync(join(tmpdir(), 'jit-renewal-'))

beforeAll(async () => {
  postgres = await startPostgres()
  database = new Database(postgres.url())
  plane = await ControlPlane.start({ data, postgres: postgres.url() })
  home = new Home()
  await plane.signIn(home, 'dev')
})

afterAll(async () => {
  await plane.stop()
  home[Symbol.dispose]()
  await database[Symbol.asyncDispose]()
  await postgres.stop()
  rmSync(data, { recursive: true, force: true })
})

const DEPLOY = ['--task', 'deploy', '--target', 'dev-db']

/** Puts a policy beside the samples, and has the broker read it. */
async function policy(content: string): Promise<void> {
  writeFileSync(join(data, 'policies', 'test.cedar'), content)
  const reloads = () => plane.log.split('policies reloaded').length
  const before = reloads()
  plane.process.kill('SIGHUP')
  while (reloads() === before) await wait(20)
}

afterEach(() => database.empty())

describe('a command that outlasts its time', () => {
  test('keeps signing in with the credential it was given, while policy permits it', async () => {
    const result = await home.run(exec([...DEPLOY, '--ttl', '6s'], ...signIn(10)))
    expect(result).toMatchObject({ code: 0 })
    expect(result.stdout.match(/signed in/g)).toHaveLength(10)
    expect(result.stderr).not.toContain('warning')
  })

  test('is stopped at its deadline once policy permits no more, and told so before', async () => {
    const until = Math.floor(Date.now() / 1000) + 6
    await policy(
      `@id("closing-time") forbid (principal, action, resource) when { context.time.unix > ${until} };`,
    )
    const started = Date.now()
    const jit = ended(home.start(exec([...DEPLOY, '--ttl', '12s'], 'sleep', '60')))
    const { stderr, signal } = await jit
    expect(signal).toBe('SIGTERM')
    expect(stderr).toMatch(/warning: not renewed \(.*closing-time.*\): the command is stopped in/)
    expect(stderr).toContain("the grant's time is over")
    expect(Date.now() - started).toBeGreaterThan(11_000)
    await policy('')
  })

  test('with a token beside the database it is told before it starts that it will not last', async () => {
    const flags = ['--task', 'deploy', '--ttl', '3s']
    const { stderr, signal } = await home.run(exec(flags, 'sleep', '60'))
    expect(stderr).toMatch(/dev-api can't be renewed: this ends at \d\d:\d\d\n/)
    expect(signal).toBe('SIGTERM')
  })
})

describe('a switch of branch while the command runs', () => {
  beforeAll(() =>
    policy(
      `@id("not-from-experiments") @description("nothing is done from experiments")
       forbid (principal, action, resource) when { context.claimed.branch like "experiment/*" };`,
    ),
  )
  beforeEach(() => {
    rmSync(join(home.directory, '.git'), { recursive: true, force: true })
    git(home.directory, 'init', '-q', '-b', 'main')
    git(home.directory, 'commit', '-q', '--allow-empty', '-m', 'first')
  })

  /** Starts a command and switches as soon as it runs. */
  async function switching(flags: readonly string[], branch: string, command: readonly string[]) {
    const jit = home.start(exec(flags, 'sh', '-c', 'echo up; exec "$@"', 'sh', ...command))
    const outcome = ended(jit)
    await new Promise((resolve) => jit.stdout?.once('data', resolve))
    git(home.directory, 'switch', '-q', '-c', branch)
    return { jit, outcome }
  }

  test('to one that policy denies stops it and takes its credential away', async () => {
    const { outcome } = await switching(DEPLOY, 'experiment/x', ['sleep', '60'])
    const { stderr, signal } = await outcome
    expect(signal).toBe('SIGTERM')
    expect(stderr).toMatch(
      /the broker ended the grant \(its context changed: .*not-from-experiments/,
    )
    expect(await database.leases()).toEqual([])
  })

  test('to one that it permits changes nothing', async () => {
    const { outcome } = await switching(DEPLOY, 'release', ['sleep', '3'])
    expect(await outcome).toMatchObject({ code: 0 })
  })

  test('leaves a task that says on_context_change: renewal alone until its renewal is denied', async () => {
    const flags = ['--task', 'migrate', '--target', 'dev-db', '--ttl', '9s']
    const { outcome } = await switching(flags, 'experiment/x', ['sleep', '60'])
    await wait(3000)
    expect(await database.leases()).toHaveLength(1)
    const { stderr, signal } = await outcome
    expect(signal).toBe('SIGTERM')
    expect(stderr).toMatch(/not renewed \(.*not-from-experiments/)
    expect(stderr).toContain("the grant's time is over")
  })
})
