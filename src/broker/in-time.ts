import { JitError } from '../lib/errors.ts'

/**
 * Has `work` at a target answer in time, whether or not it heeds the signal.
 * @throws JitError `target_unreachable` when it doesn't; what `work` throws
 */
export async function inTime<T>(
  { target, milliseconds }: { target: string; milliseconds: number },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const message = `${target}: no answer within ${milliseconds / 1000} s`
    const error = new JitError('target_unreachable', message)
    controller.abort(error)
    reject(error)
  }, milliseconds)
  try {
    return await Promise.race([work(controller.signal), promise])
  } finally {
    clearTimeout(timer)
  }
}
