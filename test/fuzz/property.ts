import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { afterAll, expect } from 'vitest'
import { type ErrorCode, JitError } from '../../src/lib/errors.ts'

const RUNS = Number(process.env.JIT_FUZZ_RUNS ?? 100)
const SEED = Number(process.env.JIT_FUZZ_SEED ?? 1)

/** Of computing, whatever else the machine does: milliseconds for one input. */
const MAX_COMPUTING = 2000
/** After which an input counts as one that never ends: milliseconds. */
const MAX_WAITING = 40_000

/** Stands in for every secret of the samples: it may be in no message. */
export const SECRET = 'hunter2-hunter2-hunter2'

/**
 * Tries a property on many inputs, the same ones for the same seed. Each has to be done in bounded
 * time; one that never ends is said, and kills this process.
 */
export async function holds<T>(
  inputs: fc.Arbitrary<T>,
  check: (input: T) => unknown,
  { share = 1 }: { share?: number } = {},
): Promise<void> {
  const numRuns = Math.max(1, Math.round(RUNS * share))
  await fc.assert(
    fc.asyncProperty(inputs, async (input) => {
      describe(input)
      Atomics.add(progress, STARTED, 1)
      Atomics.store(progress, AT_WORK, 1)
      const before = process.cpuUsage()
      await check(input)
      const { user } = process.cpuUsage(before)
      Atomics.store(progress, AT_WORK, 0)
      expect(user / 1000, 'milliseconds of computing').toBeLessThan(MAX_COMPUTING)
    }),
    { numRuns, seed: SEED, ignoreEqualValues: true },
  )
}

/**
 * Does what may be refused: with one of these codes, in a message that quotes no secret. Anything
 * else that is thrown is a mistake.
 * @returns `undefined` where it was refused
 */
export async function unlessRefused<T>(
  codes: readonly ErrorCode[],
  attempt: () => T | Promise<T>,
): Promise<T | undefined> {
  try {
    return await attempt()
  } catch (thrown) {
    if (!(thrown instanceof JitError)) throw thrown
    expect(codes, thrown.message).toContain(thrown.code)
    expect(`${thrown.message} ${thrown.hint}`).not.toContain(SECRET)
    return undefined
  }
}

const STARTED = 0
const AT_WORK = 1
const progress = new Int32Array(new SharedArrayBuffer(8))
/** What is at work, for the watchdog to say. */
const described = new Uint8Array(new SharedArrayBuffer(2048))

function describe(input: unknown): void {
  const shown = typeof input === 'string' ? JSON.stringify(input) : fc.stringify(input)
  const { currentTestName } = expect.getState()
  const { written } = new TextEncoder().encodeInto(`${currentTestName}: ${shown}`, described)
  described.fill(0, written)
}

/** Beside this thread, which is in the hands of what it tries. */
const WATCHDOG = `
const { workerData: { progress, described, wait, seed, pid } } = require('node:worker_threads')
const { writeSync } = require('node:fs')
let seen = -1
setInterval(() => {
  const started = Atomics.load(progress, ${STARTED})
  if (started !== seen || Atomics.load(progress, ${AT_WORK}) === 0) { seen = started; return }
  const what = Buffer.from(described).toString().replace(/\\0+$/, '')
  writeSync(2, 'this does not end (--seed ' + seed + '): ' + what + '\\n')
  process.kill(pid, 'SIGKILL')
}, wait)
`
const watchdog = new Worker(WATCHDOG, {
  eval: true,
  workerData: { ...{ progress, described, seed: SEED }, wait: MAX_WAITING / 2, pid: process.pid },
})
watchdog.unref()
afterAll(async () => {
  await watchdog.terminate()
})
