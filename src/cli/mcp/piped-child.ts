import { spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { withCoresAsBefore } from '../../lib/own-memory.ts'
import type { CommandOutcome } from '../../protocol/lifeline.ts'
import { type Child, type ChildStart, spawned } from '../../run/child.ts'
import { forward } from '../../run/masking/forwarding.ts'
import { Masker } from '../../run/masking/masker.ts'
import { closeSink, makePipes } from '../../run/masking/pipes.ts'

export interface Piped extends ChildStart {
  /** What it reads; absent: nothing. */
  readonly stdin: string | undefined
  /** Where what it writes goes, masked. */
  readonly stdout: Writable
  readonly stderr: Writable
}

/**
 * Starts a program with pipes, in a session of its own: it can neither read nor draw on the terminal
 * that the client runs in.
 * @throws JitError `command_not_found`, `command_not_executable`
 */
export async function startPiped(piped: Piped): Promise<Child> {
  const { executable, argv, env, directory, stdin } = piped
  const [argv0 = executable, ...args] = argv
  const pipes = (await makePipes(2)) ?? []
  const [out = 'pipe', err = 'pipe'] = pipes.map(({ sink }) => sink)
  const stdio = [stdin === undefined ? 'ignore' : 'pipe', out, err] as const
  const options = { argv0, env, cwd: directory, stdio: [...stdio], detached: true }
  const child = withCoresAsBefore(() => spawn(executable, args, options))
  for (const pipe of pipes) closeSink(pipe)
  const outcome = new Promise<CommandOutcome>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  const sources = [pipes[0]?.source ?? child.stdout, pipes[1]?.source ?? child.stderr]
  const pid = await spawned(child, argv0).catch((thrown) => {
    for (const source of sources) source?.destroy()
    throw thrown
  })
  // A command that doesn't read to the end is no error.
  child.stdin?.on('error', () => {}).end(stdin)
  const written = Promise.all(
    [piped.stdout, piped.stderr].map((sink, index) =>
      forward({
        source: sources[index] as Readable,
        sink,
        masker: Masker.for(piped.secrets),
        ended: outcome,
      }),
    ),
  )
  return { pid, outcome, written, signal: (name) => void child.kill(name) }
}
