import { JitError } from '../lib/errors.ts'
import type { Io } from './io.ts'

/**
 * Resolves at the first INT or TERM; HUP calls `reload`, whose failure is told and changes nothing.
 */
export function untilInterrupted(io: Io, reload: () => Promise<void>): Promise<void> {
  const onHangup = () => {
    reload().catch((thrown: unknown) => {
      io.note(`jit: error: ${JitError.from(thrown).message}`)
      io.note('jit: hint: what was in force before still is')
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
