import { PassThrough } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { readExactly } from '../../../src/run/ports/inbox.ts'

test('half of what is waited for keeps nothing else from being done', async () => {
  const stream = new PassThrough()
  const { signal } = new AbortController()
  const whole = readExactly(stream, 6, signal)
  stream.write('abc')
  let turns = 0
  while (turns < 10) {
    await setImmediate()
    turns += 1
  }
  stream.write('def rest')
  expect(String(await whole)).toBe('abcdef')
  expect(String(await readExactly(stream, 5, signal))).toBe(' rest')
  stream.end()
  await expect(readExactly(stream, 1, signal)).rejects.toThrow('closed')
})

test('what ends with the stream is read, and no more', async () => {
  const stream = new PassThrough()
  const { signal } = new AbortController()
  stream.end('abcdef')
  expect(String(await readExactly(stream, 2, signal))).toBe('ab')
  expect(String(await readExactly(stream, 4, signal))).toBe('cdef')
  await expect(readExactly(stream, 1, signal)).rejects.toThrow('closed')
})
