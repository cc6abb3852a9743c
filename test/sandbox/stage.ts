import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SandboxOptions } from '../../src/sandbox/sandbox.ts'
import { temporaryFolder } from '../folder.ts'

/** A home with a repository and what must stay hidden in it. */
export interface Stage {
  readonly home: string
  readonly repository: string
  readonly runtime: string
}

export interface Ran {
  readonly output: string
  readonly outcome: unknown
  readonly leftOut: readonly string[]
  readonly refused: readonly { host: string; port: number }[]
  readonly uncovered: readonly string[]
}

/** A sandbox in a process of its own. */
export interface Supervised {
  readonly process: ChildProcess
  /** Resolves once the command has started. */
  readonly started: Promise<{ started: number }>
  /** Everything that the command has written so far. */
  output(): string
  /** Resolves once the output holds `text`. */
  shows(text: string): Promise<void>
  readonly done: Promise<Ran>
}

export function setStage(): Stage {
  const base = temporaryFolder('sandbox')
  const home = join(base, 'home')
  const repository = join(home, 'shop')
  mkdirSync(repository, { recursive: true })
  execFileSync('git', ['init', '-q', repository])
  const secrets = [
    '.ssh/id_ed25519',
    '.aws/credentials',
    '.config/gh/hosts.yml',
    '.config/jit/config.yaml',
    '.local/share/jit/keystore',
    '.netrc',
    '.npmrc',
    '.claude/.credentials.json',
    '.codex/auth.json',
    '.bash_history',
  ]
  for (const name of secrets) {
    mkdirSync(join(home, name, '..'), { recursive: true })
    writeFileSync(join(home, name), 'SECRET')
  }
  return { home, repository, runtime: join(base, 'run') }
}

/** One that adds nothing. */
export const PROFILE: SandboxOptions['profile'] = {
  readable: [],
  writable: [],
  hidden: [],
  readOnly: [],
  environment: [],
}

/** Starts `script` of bash in a sandbox on the stage. */
export function supervise(
  stage: Stage,
  script: string,
  more: Partial<SandboxOptions> = {},
): Supervised {
  const [program, options] = supervisor(stage, script, more)
  return watch(fork(program, [options], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] }))
}

/** The program that starts it, and what it is to be given. */
export function supervisor(
  { home, repository, runtime }: Stage,
  script: string,
  more: Partial<SandboxOptions> = {},
): [program: string, options: string] {
  mkdirSync(runtime, { recursive: true, mode: 0o700 })
  const options: SandboxOptions = {
    environment: { PATH: process.env.PATH, HOME: home, TERM: 'dumb' },
    repository: { root: repository, gitDir: `${repository}/.git`, commonDir: `${repository}/.git` },
    profile: PROFILE,
    domains: [],
    link: join(runtime, 'link.sock'),
    folder: runtime,
    broker: 'https://broker.example.com',
    ...more,
    command: {
      directory: repository,
      executable: '/bin/bash',
      ...more.command,
      argv: ['bash', '-c', script],
    },
  }
  return [fileURLToPath(new URL('./supervisor.ts', import.meta.url)), JSON.stringify(options)]
}

function watch(child: ChildProcess): Supervised {
  let output = ''
  const messages: Record<string, unknown>[] = []
  child.stdout?.on('data', (data) => {
    output += data
  })
  child.stderr?.on('data', (data) => {
    output += data
  })
  child.on('message', (message) => messages.push(message as Record<string, unknown>))
  const started = once(child, 'message').then(([message]) => message)
  const done = once(child, 'close').then(() => {
    const error = messages.find((message) => message.error)?.error
    if (error) throw error
    return {
      output,
      outcome: messages.find((message) => message.outcome)?.outcome,
      leftOut: (messages[0]?.leftOut ?? []) as string[],
      refused: messages.flatMap((message) =>
        message.refused ? [message.refused] : [],
      ) as unknown as Ran['refused'],
      uncovered: messages.flatMap(({ uncovered }) => (uncovered ? [String(uncovered)] : [])),
    }
  })
  done.catch(() => {})
  return {
    process: child,
    started,
    output: () => output,
    async shows(text) {
      while (!output.includes(text)) await once(child.stdout ?? child, 'data')
    },
    done,
  }
}

/** Of a script's lines `name: result`, the results by name. */
export function results(output: string): Record<string, string> {
  return Object.fromEntries(
    [...output.matchAll(/^([\w -]+): (.*)$/gm)].map(([, name, result]) => [name, result]),
  )
}
