import { systemClock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { leaveMemoryOutOfCores } from '../lib/own-memory.ts'
import { pathsFrom } from '../lib/paths.ts'
import { beginTracing, isTraced, tracing } from '../lib/tracing.ts'
import { settle } from './at-exit.ts'
import type { Deps } from './deps.ts'
import { exitCodeOf } from './exit-codes.ts'
import { reportFailure } from './failure.ts'
import { interruptSignal } from './interrupt.ts'
import { runProgram, wantsJson, wrapsCommand } from './program.ts'
import { openTerminal, type Terminal } from './terminal.ts'
import { terminalPrompt } from './terminal-prompt.ts'

/** Runs one command line and ends the process with its exit code. */
export async function start(argv: readonly string[]): Promise<void> {
  leaveMemoryOutOfCores()
  const terminal = openTerminal(process.env)
  const deps = createDeps(terminal)
  let code: number
  try {
    code = await traced(argv, deps, () => runProgram(argv, deps, terminal.loadStyle))
  } catch (thrown) {
    const error = JitError.from(thrown)
    await terminal.loadStyle()
    const debug = deps.env.JIT_DEBUG === '1'
    reportFailure(error, { io: deps.io, json: wantsJson(argv), debug })
    code = exitCodeOf(error.code, { wraps: wrapsCommand(argv) })
  }
  await settle(deps)
  // Open keep-alive connections would hold the process for seconds.
  process.exitCode = code
  process.stdout.write('', () => process.exit())
}

/** Commands that trace what they serve, by themselves. */
const SERVERS = new Set(['broker', 'dev'])

/** In a span, where OpenTelemetry's variables ask for it; nothing of it is loaded else. */
async function traced<T>(
  argv: readonly string[],
  { env }: Deps,
  work: () => Promise<T>,
): Promise<T> {
  if (!isTraced(env) || SERVERS.has(argv[0] ?? '')) return work()
  const { createOtelTracer } = await import('../telemetry/otel.ts')
  const end = beginTracing(createOtelTracer('jit', env))
  // What was typed by mistake could be anything.
  const name = wrapsCommand(argv) ? `jit ${argv[0]}` : 'jit'
  return tracing.during(name, {}, work).finally(end)
}

function createDeps(io: Terminal): Deps {
  const { env } = process
  const paths = pathsFrom(env)
  const interrupted = interruptSignal()
  return {
    env,
    get cwd() {
      return workingDirectory()
    },
    io,
    clock: systemClock,
    paths,
    keystore: once(async () => (await import('../keystore/open.ts')).openKeystore({ env, paths })),
    prompt: terminalPrompt(io, interrupted),
    openBrowser: async (url) => (await import('./browser.ts')).openInBrowser(url, env),
    atExit: new Set(),
    interrupted,
  }
}

/** Where the command stands. @throws JitError `usage` where that has been removed: not every command needs it */
function workingDirectory(): string {
  try {
    return process.cwd()
  } catch (cause) {
    throw new JitError('usage', 'the folder that you stand in is gone', {
      hint: 'cd to one that is there',
      cause,
    })
  }
}

/** The same promise each time. */
function once<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined
  return () => {
    opened ??= open()
    return opened
  }
}
