import { type ChildProcess, spawn } from 'node:child_process'
import { JitError } from '../lib/errors.ts'
import type { CommandOutcome } from '../protocol/lifeline.ts'

/** The wrapped command while it runs. */
export interface Child {
  readonly pid: number
  readonly outcome: Promise<CommandOutcome>
  signal(name: NodeJS.Signals): void
}

/** What is started. */
export interface ChildStart {
  readonly executable: string
  readonly argv: readonly string[]
  readonly env: Record<string, string>
  readonly directory: string
}

/**
 * Starts a program with this process's own terminal, standard streams and process group, without a
 * shell. Never detached: that would make a new session and lose the terminal.
 * @throws JitError `command_not_found`, `command_not_executable`
 */
export async function startChild({ executable, argv, env, directory }: ChildStart): Promise<Child> {
  const [argv0 = executable, ...args] = argv
  const child = spawn(executable, args, { argv0, env, cwd: directory, stdio: 'inherit' })
  const outcome = new Promise<CommandOutcome>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  const pid = await spawned(child, argv0)
  return { pid, outcome, signal: (name) => void child.kill(name) }
}

/** @throws JitError `command_not_found`, `command_not_executable` */
export function spawned(child: ChildProcess, name: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', (cause: NodeJS.ErrnoException) => {
    const missing = cause.code === 'ENOENT'
    const why = missing ? 'no such file, or no interpreter for it' : (cause.code ?? cause.message)
    const code = missing ? 'command_not_found' : 'command_not_executable'
    reject(new JitError(code, `${name}: could not be started (${why})`, { cause }))
  })
  child.once('spawn', () => resolve(child.pid ?? 0))
  return promise
}
