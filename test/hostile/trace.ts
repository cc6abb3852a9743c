import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const CALLS = ['execve', 'execveat', '?open', 'openat', 'openat2', '?creat', 'connect'].join(',')

/** What everything that was started did, as the kernel saw it. */
export interface Traced {
  /** Programs, each time one was started. */
  readonly executed: readonly string[]
  /** Where what was opened really is, behind every link. */
  readonly opened: readonly string[]
  /** Of those, what was opened to write to it. */
  readonly written: readonly string[]
  /** Addresses, as strace writes them. */
  readonly connected: readonly string[]
  /** Whether it ended by itself. */
  readonly ended: boolean
}

interface Running {
  readonly folder: string
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** Milliseconds. */
  readonly timeout: number
}

/** Runs a command with all that it starts under strace. */
export async function trace(command: readonly string[], running: Running): Promise<Traced> {
  const { folder, cwd, env, timeout } = running
  mkdirSync(folder)
  // A file for each process: what two do at once isn't torn apart. With a filter in the kernel nothing
  // else is slowed down.
  const flags = ['-f', '-ff', '--seccomp-bpf', '-qq', '-y', '-s', '256', '-e', `trace=${CALLS}`]
  const strace = spawn('strace', [...flags, '-o', join(folder, 'calls'), ...command], {
    ...{ cwd, env, timeout, killSignal: 'SIGKILL', stdio: 'ignore' },
  })
  const [, signal] = await once(strace, 'exit')
  const lines = readdirSync(folder).flatMap((name) =>
    readFileSync(join(folder, name), 'utf8').split('\n'),
  )
  return { ...read(lines), ended: signal === null }
}

function read(lines: readonly string[]): Omit<Traced, 'ended'> {
  const found = (form: RegExp) =>
    lines.flatMap((line) => {
      const [, what] = form.exec(line) ?? []
      return what === undefined ? [] : [what]
    })
  return {
    executed: found(/^execve(?:at)?\((?:AT_FDCWD[^,]*, )?"(.*?)", .*\) = 0$/),
    opened: found(/^(?:open|openat|openat2|creat)\(.*\) = \d+<(.*)>$/),
    written: found(/^(?:open|openat|openat2|creat)\(.*O_(?:WRONLY|RDWR|CREAT).*\) = \d+<(.*)>$/),
    connected: found(/^connect\(\d+<.*?>, (\{.*\}), \d+\)/),
  }
}
