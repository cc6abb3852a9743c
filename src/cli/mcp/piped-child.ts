import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { CommandOutcome } from '../../protocol/lifeline.ts'
import { type Child, type ChildStart, spawned } from '../../run/child.ts'

/** Milliseconds that its last words may take: something it started may hold its streams for ever. */
const LAST_WORDS = 500

export interface Piped extends ChildStart {
  /** What it reads; absent: nothing. */
  readonly stdin: string | undefined
  readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Buffer) => void
}

/**
 * Starts a program with pipes, in a session of its own: it can neither read nor draw on the terminal
 * that the client runs in.
 * @throws JitError `command_not_found`, `command_not_executable`
 */
export async function startPiped(piped: Piped): Promise<Child> {
  const { executable, argv, env, directory, stdin, onOutput } = piped
  const [argv0 = executable, ...args] = argv
  const child = spawn(executable, args, {
    argv0,
    env,
    cwd: directory,
    stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    detached: true,
  })
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (chunk: Buffer) => onOutput(name, chunk)).on('error', () => {})
  }
  const outcome = outcomeOf(child)
  const pid = await spawned(child, argv0)
  // A command that doesn't read to the end is no error.
  child.stdin?.on('error', () => {}).end(stdin)
  return { pid, outcome, signal: (name) => void child.kill(name) }
}

function outcomeOf(child: ChildProcess): Promise<CommandOutcome> {
  const { promise, resolve } = Promise.withResolvers<CommandOutcome>()
  const closed = once(child, 'close').catch(() => {})
  child.once('exit', async (code, signal) => {
    await Promise.race([closed, delay(LAST_WORDS)])
    child.stdout?.destroy()
    child.stderr?.destroy()
    resolve({ code, signal })
  })
  return promise
}
