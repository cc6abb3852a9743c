import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { chosenAgent } from '../agent.ts'
import type { Deps } from '../deps.ts'
import type { Io } from '../io.ts'
import { Calls } from './calls.ts'
import { createMcpServer } from './server.ts'
import { StdioTransport } from './stdio.ts'

/** What a client, a terminal or a service manager ends this with. */
const ENDS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP']

/**
 * Serves one client on stdin and stdout until it goes away. Then every command is stopped and every
 * grant given back.
 * @throws JitError `usage` for what `JIT_AGENT` can't be
 */
export async function serveMcp(deps: Deps): Promise<number> {
  chosenAgent(deps.env)
  await serve(deps, { input: process.stdin, output: process.stdout })
  return 0
}

async function serve(deps: Deps, streams: { input: Readable; output: Writable }): Promise<void> {
  const gone = new AbortController()
  const calls = new Calls()
  const interrupted = AbortSignal.any([deps.interrupted, gone.signal])
  const own = { ...deps, io: quiet(deps.io), interrupted }
  const server = createMcpServer({ deps: own, calls, gone: gone.signal })
  const transport = new StdioTransport(streams)
  server.onclose = () => gone.abort()
  // Listened to here, so that what runs is stopped before the process ends.
  const end = () => void server.close()
  for (const name of ENDS) process.on(name, end)
  await server.connect(transport)
  if (!gone.signal.aborted) await once(gone.signal, 'abort')
  await calls.settled()
}

/** stdin and stdout are the protocol's: nobody is asked, and nothing else is written there. */
function quiet(io: Io): Io {
  return {
    ...io,
    out: (line) => io.note(line),
    note: (line) => io.note(line),
    redraw: () => {},
    live: false,
    interactive: false,
  }
}
