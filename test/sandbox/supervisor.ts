/**
 * A process that starts one sandbox, as `jit sandbox` does: the options come as JSON on the command
 * line, what happens goes out by messages, and so do signals, routes and the stop come in.
 */
import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { startSandbox } from '../../src/sandbox/sandbox.ts'

// Nobody is left who waits for it: the kernel ends what is inside.
process.once('disconnect', () => process.exit())
const options = JSON.parse(process.argv[2] ?? '')
rmSync(options.link, { force: true })
const link = createServer((request, response) => response.end(`link ${request.url}\n`))
await new Promise<void>((listening) => link.listen(options.link, listening))
try {
  let leftOut: readonly string[] = []
  const starting = (names: readonly string[]) => {
    leftOut = names
  }
  const sandbox = await startSandbox({ ...options, starting })
  process.send?.({ started: sandbox.pid, leftOut })
  sandbox.onRefused((refused) => process.send?.({ refused }))
  sandbox.onUncovered((uncovered) => process.send?.({ uncovered }))
  process.on('message', (message: { signal?: NodeJS.Signals; route?: [string, string][] }) => {
    if (message.signal) sandbox.signal(message.signal)
    if (message.route) sandbox.route(new Map(message.route))
    if (!message.signal && !message.route) void sandbox.stop()
  })
  // On a terminal of its own.
  for (const name of ['SIGINT', 'SIGWINCH'] as const) process.on(name, () => sandbox.signal(name))
  const outcome = await sandbox.outcome
  await sandbox.stop()
  process.send?.({ outcome })
  if (!process.send) process.exitCode = outcome.code ?? 128
} catch (error) {
  process.send?.({ error: { ...(error as Error), message: (error as Error).message } })
}
link.close()
process.removeAllListeners('disconnect')
process.disconnect?.()
