import { JitError } from '../lib/errors.ts'

/** A server as a command runs it. */
export interface Served<Server> {
  start(): Promise<Server>
  /** Told once it serves. */
  ready?(server: Server): void
  reload(server: Server): Promise<void>
  stop(server: Server): Promise<void>
  /** What HUP means, asked when it comes: its terminal has gone, or the policies are to be read again. */
  hangup(): 'reload' | 'stop'
  readonly log: { warn(message: string, detail: { readonly reason: string }): void }
}

/**
 * Serves until the first INT or TERM, which may come while it starts: whatever was started is
 * stopped in order. A reload that fails is told and changes nothing.
 */
export async function serve<Server>(served: Served<Server>): Promise<void> {
  const interrupted = Promise.withResolvers<void>()
  let running: Server | undefined
  const onHangup = () => {
    if (served.hangup() === 'stop') interrupted.resolve()
    else if (running !== undefined) {
      served.reload(running).catch((thrown: unknown) => {
        const reason = JitError.from(thrown).message
        served.log.warn('what was in force before still is', { reason })
      })
    }
  }
  // Never taken away: until the process ends, a hang-up must not end it halfway.
  process.on('SIGHUP', onHangup)
  process.once('SIGINT', interrupted.resolve)
  process.once('SIGTERM', interrupted.resolve)
  const server = await served.start()
  running = server
  served.ready?.(server)
  await interrupted.promise
  running = undefined
  await served.stop(server)
}
