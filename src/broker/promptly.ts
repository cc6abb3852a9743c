import { setTimeout as wait } from 'node:timers/promises'
import { JitError } from '../lib/errors.ts'

/**
 * Waits for the store so long and no longer: what it does later is done all the same.
 * @param milliseconds how long
 * @throws JitError `store_failed` when it doesn't answer in time; what `work` rejects with
 */
export async function promptly<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  const answered = new AbortController()
  work.catch(() => {})
  const late = wait(milliseconds, undefined, { signal: answered.signal }).then(() => {
    throw new JitError('store_failed', `the store did not answer within ${milliseconds / 1000} s`)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    late.catch(() => {})
    answered.abort()
  }
}
