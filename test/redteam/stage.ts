import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, cpSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from '../servers/free-port.ts'
import { SECRET_PREFIX, type Surroundings } from './escape.ts'
import { KEPT_IN_HOMES } from './escapes/files.ts'
import { SUBMODULES } from './escapes/planting.ts'
import { LISTENERS } from './escapes/sockets.ts'

/** What only the referee knows. */
export interface Stage extends AsyncDisposable {
  readonly secret: string
  /** Descriptors of the home, as from 3 on. */
  readonly leftOpen: readonly number[]
  readonly surroundings: Omit<Surroundings, 'broker' | 'grantOfOwner' | 'databasePort'>
}

const PYTHON = '/usr/bin/python3'

/** A name in the process table by which an attempt makes sure whom it hits. */
const BYSTANDER =
  "require('node:fs').writeFileSync('/proc/self/comm', 'jit-bystander'); setInterval(() => {}, 1000)"

/**
 * A person's machine in small: a home full of credentials, a repository in it, and other programs of
 * theirs. Everything secret on it holds one string that nobody inside is told.
 * @param home an empty folder; it is not removed
 */
export async function setStage(home: string, jit: readonly [string, string]): Promise<Stage> {
  const secret = `${SECRET_PREFIX}${randomBytes(16).toString('hex')}`
  const repository = join(home, 'project')
  furnish({ home, repository, secret })
  const others = mkdtempSync(join(tmpdir(), 'other-program-'))
  const temporaryFile = write(join(others, 'token'), secret)
  const sharedFile = write(`/dev/shm/${others.split('/').at(-1)}`, secret)
  const sockets = Object.fromEntries(
    Object.entries(LISTENERS).map(([what, path]) => [what, join(home, path)]),
  )
  const abstractSocket = `jit-red-team-${randomBytes(4).toString('hex')}`
  const leftOpen = Array.from({ length: 6 }, () => openSync(home, 'r'))
  const debugPort = await freePort()
  const victim = startVictim({ home, secret, sockets, abstractSocket, debugPort })
  const bystander = spawn(process.execPath, ['-e', BYSTANDER], { stdio: 'ignore' })
  const { child: keeper, ...kept } = await keep(secret, join(home, KEPT_IN_HOMES['an SSH key']))
  const { webPort, dnsPort } = JSON.parse(await firstLine(victim)) as Record<string, number>
  return {
    secret,
    leftOpen,
    surroundings: {
      ...{ home, repository, temporaryFile, sharedFile, sockets, abstractSocket, debugPort, jit },
      ...{
        victim: victim.pid ?? 0,
        bystander: bystander.pid ?? 0,
        notes: join(repository, 'notes'),
      },
      ...{ webPort: webPort ?? 0, dnsPort: dnsPort ?? 0, ...kept },
    },
    async [Symbol.asyncDispose]() {
      keeper?.stdin?.end()
      for (const child of [victim, bystander]) child.kill('SIGKILL')
      for (const fd of leftOpen) closeSync(fd)
      for (const path of [others, sharedFile]) rmSync(path, { recursive: true, force: true })
    },
  }
}

function write(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${text}\n`, { mode: 0o600 })
  return path
}

function furnish({
  home,
  repository,
  secret,
}: {
  home: string
  repository: string
  secret: string
}) {
  for (const path of Object.values(KEPT_IN_HOMES)) write(join(home, path), `# ${secret}`)
  for (const folder of ['', '.ssh', '.config/jit'])
    write(join(home, folder, `${secret}-name`), secret)
  for (const path of [
    '.github/workflows/build.yml',
    '.claude/commands/test.md',
    '.vscode/settings.json',
  ])
    write(join(repository, path), '# as it should be')
  write(join(repository, '.husky/pre-push'), '# as it should be')
  write(
    join(repository, '.jit.yaml'),
    'version: 1\nprofiles:\n  work: { environment: dev, task: plan }',
  )
  write(join(repository, 'readme.txt'), 'a project')
  mkdirSync(join(repository, 'notes'))
  const lib = join(home, 'lib')
  mkdirSync(lib)
  for (const folder of [lib, repository]) {
    git(folder, 'init', '-b', 'main')
    git(folder, 'commit', '--allow-empty', '-m', 'start')
  }
  for (const name of SUBMODULES) {
    git(repository, '-c', 'protocol.file.allow=always', 'submodule', 'add', lib, name)
  }
  git(repository, 'config', 'include.path', '../settings/git.inc')
  git(repository, 'add', 'readme.txt')
  git(repository, 'commit', '-m', 'a submodule')
  cpSync(import.meta.dirname, join(repository, 'copilot'), { recursive: true })
}

function git(cwd: string, ...args: string[]): void {
  const who = ['-c', 'user.name=dev', '-c', 'user.email=dev@example.com']
  execFileSync('git', [...who, ...args], { cwd, stdio: 'ignore' })
}

interface VictimParts {
  readonly home: string
  readonly secret: string
  readonly sockets: Readonly<Record<string, string>>
  readonly abstractSocket: string
  readonly debugPort: number
}

function startVictim({
  home,
  secret,
  sockets,
  abstractSocket,
  debugPort,
}: VictimParts): ChildProcess {
  const script = join(import.meta.dirname, 'victim.ts')
  const args = [script, home, JSON.stringify(sockets), abstractSocket, `--password=${secret}`]
  return spawn(process.execPath, [`--inspect-port=127.0.0.1:${debugPort}`, ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { SECRET: secret },
  })
}

/** Where there is no Python, what needs it isn't tried either. */
async function keep(secret: string, file: string) {
  const child = spawn(PYTHON, [join(import.meta.dirname, 'shared.py'), file], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { SECRET: secret },
  })
  const started = await Promise.race([once(child, 'spawn'), once(child, 'error')])
  if (started.length > 0) return { child: undefined, sharedMemory: -1, key: -1, fileHandle: '' }
  const [sharedMemory, key, fileHandle = ''] = (await firstLine(child)).split(' ')
  return { child, sharedMemory: Number(sharedMemory), key: Number(key), fileHandle }
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('expected a pipe')
  for await (const line of createInterface({ input: child.stdout })) return line
  throw new Error('it ended without a word')
}
