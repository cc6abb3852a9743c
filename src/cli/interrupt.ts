import { JitError } from '../lib/errors.ts'

/** How long a command may tidy up after Ctrl-C before it is ended anyway, in milliseconds. */
const TIDY_UP = 2000
const CANCELLED = 130

/**
 * Aborts on the first Ctrl-C or TERM. While anybody else listens (the wrapper, for its child), the
 * signal is theirs and nothing happens here.
 */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (process.listenerCount(name) > 1) return
      if (controller.signal.aborted) process.exit(CANCELLED)
      controller.abort(new JitError('cancelled', 'cancelled'))
      setTimeout(() => process.exit(CANCELLED), TIDY_UP).unref()
    })
  }
  return controller.signal
}
