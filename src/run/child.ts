import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { JitError } from '../lib/errors.ts'
import { withCoresAsBefore } from '../lib/own-memory.ts'
import type { CommandOutcome } from '../protocol/lifeline.ts'

/** The wrapped command while it runs. */
export interface Child {
  readonly pid: number
  readonly outcome: Promise<CommandOutcome>
  /** Resolves when all that it wrote has been passed on; absent where it writes by itself. */
  readonly written?: Promise<unknown>
  signal(name: NodeJS.Signals): void
}

/** What is started. */
export interface ChildStart {
  readonly executable: string
  readonly argv: readonly string[]
  readonly env: Record<string, string>
  readonly directory: string
  /** What is masked in its output, where that is masked. */
  readonly secrets: readonly string[]
}

/**
 * Starts a program with this process's own terminal, standard streams and process group, without a
 * shell. Never detached: that would make a new session and lose the terminal.
 * @throws JitError `command_not_found`, `command_not_executable`
 */
export async function startChild(start: ChildStart): Promise<Child> {
  return launch(start, 'inherit').started
}

/** The same, with streams of one's choice. @returns `started` throws as {@link startChild} does */
export function launch(
  { executable, argv, env, directory }: ChildStart,
  stdio: StdioOptions,
): { process: ChildProcess; started: Promise<Child> } {
  const [argv0 = executable, ...args] = argv
  const options = { argv0, env, cwd: directory, stdio }
  const process = withCoresAsBefore(() => spawn(executable, args, options))
  const outcome = new Promise<CommandOutcome>((resolve) => {
    process.once('exit', (code, signal) => resolve({ code, signal }))
  })
  const signal = (name: NodeJS.Signals) => void process.kill(name)
  const started = spawned(process, argv0).then((pid) => ({ pid, outcome, signal }))
  return { process, started }
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
