import { afterEach, describe, expect, test, vi } from 'vitest'
import { Deadline } from '../../src/run/deadline.ts'

/** A clock that goes on by so many milliseconds whenever somebody looks. */
function restless(step: number) {
  let now = 0
  const look = () => {
    now += step
    return now
  }
  return { now: look, monotonic: look }
}

describe('the wait for a deadline', () => {
  afterEach(() => vi.restoreAllMocks())

  test('never sets a timer for a time that is over, however the clock goes on meanwhile', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue()
    for (const step of [1, 2, 3, 5, 7]) {
      const deadline = new Deadline(new Date(50).toISOString(), restless(step))
      await deadline.passed(new AbortController().signal)
      expect(deadline.left()).toBeLessThanOrEqual(0)
    }
    expect(warned).not.toHaveBeenCalled()
  })

  test('ends by the signal', async () => {
    const deadline = new Deadline(new Date(60_000).toISOString(), {
      now: () => 0,
      monotonic: () => 0,
    })
    const controller = new AbortController()
    const passed = deadline.passed(controller.signal)
    controller.abort()
    await passed
    expect(deadline.left()).toBe(60_000)
  })
})
