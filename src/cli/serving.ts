import { JitError } from '../lib/errors.ts'

/** Where a server says what went wrong. */
interface Warnings {
  warn(message: string, detail: Readonly<Record<string, unknown>>): void
}

/**
 * Resolves at the first INT or TERM; HUP calls `reload`, whose failure is told and changes nothing.
 */
export function untilInterrupted(log: Warnings, reload: () => Promise<void>): Promise<void> {
  const onHangup = () => {
    reload().catch((thrown: unknown) => {
      const reason = JitError.from(thrown).message
      log.warn('what was in force before still is', { reason })
    })
  }
  process.on('SIGHUP', onHangup)
  return new Promise((resolve) => {
    const stop = () => {
      process.off('SIGHUP', onHangup)
      resolve()
    }
    process.once('SIGINT', stop)
    process.once('SIGTERM', stop)
  })
}
