import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import pg from 'pg'
import { parse, stringify } from 'yaml'
import { newSealKey } from '../src/broker/seal.ts'
import { confirmDevice } from '../test/servers/browser.ts'
import { type PostgresServer, startPostgres } from '../test/servers/postgres.ts'

export const JIT = resolve(import.meta.dirname, '../bin/jit.js')

/** The broker as a process of its own, a real PostgreSQL, and somebody who is signed in. */
export interface Stage extends AsyncDisposable {
  readonly brokerPid: number
  /** The administrator's URL. */
  readonly postgres: string
  /** What a signed-in `jit` runs with. */
  readonly env: Readonly<Record<string, string>>
  /** Starts a broker whose ledger is in that PostgreSQL as well. @returns what one signed in there runs with */
  overPostgres(): Promise<Readonly<Record<string, string>>>
}

/** Starts everything in a temporary directory. `brokerFlags` are Node's own (`--cpu-prof`). */
export async function setStage(brokerFlags: readonly string[]): Promise<Stage> {
  await using undo = new AsyncDisposableStack()
  const home = await mkdtemp(join(tmpdir(), 'jit-bench-'))
  undo.defer(() => rm(home, { recursive: true, force: true }))
  const server = undo.use(await startPostgres())
  const postgres = server.url()
  const env = {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    HOME: home,
    XDG_RUNTIME_DIR: join(home, 'run'),
    JIT_KEYSTORE: 'file',
  }
  const children: ChildProcess[] = []
  undo.defer(async () => {
    for (const child of children.toReversed()) await stop(child)
  })
  const start = (nodeFlags: readonly string[], args: readonly string[]): ChildProcess => {
    const child = spawn(process.execPath, [...nodeFlags, JIT, ...args], {
      env: { ...env, JIT_DEV_POSTGRES_URL: postgres },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    children.push(child)
    return child
  }
  // The development control plane is the identity provider here, and writes a configuration.
  const development = join(home, 'development')
  const dev = start([], ['dev', '--data', development, '--postgres', postgres, '--json'])
  await firstEvent(dev.stdout)
  /** A broker in a folder of its own, and somebody who is signed in there. */
  const serve = async (folder: string, nodeFlags: readonly string[], store: object) => {
    const { url, file } = await ownConfiguration(development, { folder, store })
    const broker = start(nodeFlags, ['broker', '--config', file])
    await firstEvent(broker.stderr)
    const signedIn = { ...env, JIT_BROKER: url }
    await signIn(signedIn)
    return { broker, env: signedIn }
  }
  const { broker, env: signedIn } = await serve(`${development}-broker`, brokerFlags, {})
  const moved = undo.move()
  return {
    brokerPid: broker.pid ?? 0,
    postgres,
    env: signedIn,
    async overPostgres() {
      const folder = `${development}-shared`
      const store = await sharedStore(folder, server)
      return (await serve(folder, [], store)).env
    },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  }
}

/** A ledger in a database of its own: what broker.yaml says of it. */
async function sharedStore(folder: string, server: PostgresServer): Promise<object> {
  const admin = new pg.Client({ connectionString: server.url() })
  await admin.connect()
  await admin.query('CREATE DATABASE ledger')
  await admin.end()
  await mkdir(folder)
  await writeFile(join(folder, 'store.url'), server.url({ database: 'ledger' }), { mode: 0o600 })
  await writeFile(join(folder, 'seal.key'), newSealKey(), { mode: 0o600 })
  return { store: 'file:store.url', seal_key: 'file:seal.key' }
}

/** The same broker in a folder and at a port of its own. */
async function ownConfiguration(
  development: string,
  { folder, store }: { folder: string; store: object },
): Promise<{ url: string; file: string }> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const file = join(folder, 'broker.yaml')
  await cp(join(development, 'policies'), join(folder, 'policies'), { recursive: true })
  await cp(join(development, 'introspection.secret'), join(folder, 'introspection.secret'))
  const config: unknown = parse(await readFile(join(development, 'broker.yaml'), 'utf8'))
  const changed = { ...(config as object), ...store, url, listen: `127.0.0.1:${port}` }
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
