import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { parse, stringify } from 'yaml'
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
  const postgres = undo.use(await startPostgres()).url()
  const env = {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    HOME: home,
    XDG_RUNTIME_DIR: join(home, 'run'),
    JIT_KEYSTORE: 'file',
  }
  const start = (nodeFlags: readonly string[], args: readonly string[]): ChildProcess => {
    const child = spawn(process.execPath, [...nodeFlags, JIT, ...args], {
      env: { ...env, JIT_DEV_POSTGRES_URL: postgres },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    undo.defer(() => stop(child))
    return child
  }
  // The development control plane is the identity provider here, and writes a configuration.
  const development = join(home, 'development')
  const dev = start([], ['dev', '--data', development, '--postgres', postgres, '--json'])
  await firstEvent(dev.stdout)
  const { url, file } = await ownConfiguration(development)
  const broker = start(brokerFlags, ['broker', '--config', file])
  await firstEvent(broker.stderr)
  const signedIn = { ...env, JIT_BROKER: url }
  await signIn(signedIn)
  const moved = undo.move()
  return {
    brokerPid: broker.pid ?? 0,
    postgres,
    env: signedIn,
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  }
}

/** The same broker in a folder and at a port of its own. */
async function ownConfiguration(development: string): Promise<{ url: string; file: string }> {
  const folder = `${development}-broker`
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const file = join(folder, 'broker.yaml')
  await cp(join(development, 'policies'), join(folder, 'policies'), { recursive: true })
  await cp(join(development, 'introspection.secret'), join(folder, 'introspection.secret'))
  const config: unknown = parse(await readFile(join(development, 'broker.yaml'), 'utf8'))
  const changed = { ...(config as object), url, listen: `127.0.0.1:${port}` }
  await writeFile(file, stringify(changed), { mode: 0o600 })
  return { url, file }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

/** The first line that a process writes, read as JSON; the others are let go by. */
async function firstEvent(output: Readable | null): Promise<Record<string, unknown>> {
  if (!output) throw new Error('expected a pipe')
  const lines = createInterface({ input: output })
  const [line] = await Promise.race([once(lines, 'line'), once(lines, 'close')])
  if (line === undefined) throw new Error('it ended before it was ready')
  lines.on('line', () => {})
  return JSON.parse(line) as Record<string, unknown>
}

/** The device flow, confirmed at the provider's own pages. */
async function signIn(env: Readonly<Record<string, string>>): Promise<void> {
  const login = spawn(process.execPath, [JIT, 'login', '--json'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(login, 'exit')
  const verification = await firstEvent(login.stdout)
  const verificationUriComplete = String(verification.verification_uri_complete)
  await confirmDevice({ verificationUriComplete, login: 'dev' })
  const [code] = await exited
  if (code !== 0) throw new Error(`jit login ended with ${code}`)
}
