import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Io } from '../../src/cli/io.ts'
import { progressOn } from '../../src/cli/progress.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** What is drawn at the moment, and everything that ever was. */
function drawing({ live = true, columns = 80 } = {}) {
  const drawn: string[] = []
  const io = { live, noteColumns: columns, redraw: (line: string) => drawn.push(line) }
  const clock = { now: () => Date.now(), monotonic: () => Date.now() }
  return { drawn, deps: { io: io as unknown as Io, env: {}, clock } }
}

test('what takes more than a second is said, with how long it takes, and nothing stays', async () => {
  const { drawn, deps } = drawing()
  const work = Promise.withResolvers<number>()
  const done = progressOn(deps).during('asking the broker', work.promise)
  vi.advanceTimersByTime(999)
  expect(drawn).toEqual([])
  vi.advanceTimersByTime(1600)
  expect(drawn.at(-1)).toMatch(/^[⧗⧖] asking the broker … 2s$/)
  work.resolve(7)
  expect(await done).toBe(7)
  expect(drawn.at(-1)).toBe('')
  const before = drawn.length
  vi.advanceTimersByTime(5000)
  expect(drawn).toHaveLength(before)
})

test('what is over before, nothing is said of; nor is the line touched', async () => {
  const { drawn, deps } = drawing()
  await progressOn(deps).during('asking', Promise.resolve())
  vi.advanceTimersByTime(5000)
  expect(drawn).toEqual([])
})

test('a failure takes the line away as well', async () => {
  const { drawn, deps } = drawing()
  const work = Promise.withResolvers<void>()
  const done = progressOn(deps).during('asking', work.promise)
  vi.advanceTimersByTime(1000)
  work.reject(new Error('no'))
  await expect(done).rejects.toThrow('no')
  expect(drawn.at(-1)).toBe('')
})

test('what follows takes its place, counted from its own beginning', () => {
  const { drawn, deps } = drawing()
  const progress = progressOn(deps)
  progress.begin('asking')
  vi.advanceTimersByTime(3000)
  progress.begin('getting credentials')
  vi.advanceTimersByTime(1000)
  expect(drawn.at(-1)).toMatch(/getting credentials … 1s$/)
  progress.end()
})

test.each([
  ['elsewhere than on a terminal', { live: false }, {}],
  ['with --quiet', {}, { quiet: true }],
])('%s nothing is drawn', (_, screen, options) => {
  const { drawn, deps } = drawing(screen)
  progressOn(deps, options).begin('asking')
  vi.advanceTimersByTime(10_000)
  expect(drawn).toEqual([])
})

test('a narrow terminal gets as much of it as one line holds', () => {
  const { drawn, deps } = drawing({ columns: 12 })
  progressOn(deps).begin('asking the broker')
  vi.advanceTimersByTime(1000)
  expect(drawn).toEqual(['⧗ asking t…'])
})
