import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { confirmDevice } from '../test/servers/browser.ts'
import { startPostgres } from '../test/servers/postgres.ts'

export const JIT = resolve(import.meta.dirname, '../bin/jit.js')

/** The broker as a process of its own, a real PostgreSQL, and somebody who is signed in. */
export interface Stage extends AsyncDisposable {
  readonly brokerPid: number
  /** The administrator's URL. */
  readonly postgres: string
  /** What a signed-in `jit` runs with. */
  readonly env: Readonly<Record<string, string>>
}

/** Starts everything in a temporary directory. `brokerFlags` are Node's own (`--cpu-prof`). */
export async function setStage(brokerFlags: readonly string[]): Promise<Stage> {
  await using undo = new AsyncDisposableStack()
  const home = await mkdtemp(join(tmpdir(), 'jit-bench-'))
  undo.defer(() => rm(home, { recursive: true, force: true }))
  const postgres = undo.use(await startPostgres())
  const env = {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    HOME: home,
    XDG_RUNTIME_DIR: join(home, 'run'),
    JIT_KEYSTORE: 'file',
  }
  const data = ['--data', join(home, 'broker'), '--postgres', postgres.url()]
  const broker = spawn(process.execPath, [...brokerFlags, JIT, 'dev', ...data, '--json'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  undo.defer(() => stop(broker))
  const ready = await firstEvent(broker)
  const signedIn = { ...env, JIT_BROKER: String(ready.broker) }
  await signIn(signedIn)
  const moved = undo.move()
  return {
    brokerPid: broker.pid ?? 0,
    postgres: postgres.url(),
    env: signedIn,
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

async function firstEvent(child: ChildProcess): Promise<Record<string, unknown>> {
  if (!child.stdout) throw new Error('expected a pipe')
  for await (const line of createInterface({ input: child.stdout })) {
    return JSON.parse(line) as Record<string, unknown>
  }
  throw new Error('it ended before it was ready')
}

/** The device flow, confirmed at the provider's own pages. */
async function signIn(env: Readonly<Record<string, string>>): Promise<void> {
  const login = spawn(process.execPath, [JIT, 'login', '--json'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(login, 'exit')
  const verification = await firstEvent(login)
  const verificationUriComplete = String(verification.verification_uri_complete)
  await confirmDevice({ verificationUriComplete, login: 'dev' })
  const [code] = await exited
  if (code !== 0) throw new Error(`jit login ended with ${code}`)
}
