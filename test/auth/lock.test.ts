import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { tryLock } from '../../src/auth/lock.ts'

let folder: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jit-lock-'))
  file = join(folder, 'renewal.lock')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('one holds it, the next gets it when it is given back, and nothing is left', async () => {
  const unlock = await tryLock(file)
  expect(await tryLock(file)).toBeUndefined()
  await unlock?.()
  const again = await tryLock(file)
  expect(again).toBeDefined()
  await again?.()
  expect(await readdir(folder)).toEqual([])
})

test('of many at once, one gets it', async () => {
  const locks = await Promise.all(Array.from({ length: 20 }, () => tryLock(file)))
  expect(locks.filter(Boolean)).toHaveLength(1)
})

test('a holder without a sign of life for five seconds has lost it, and takes it from nobody', async () => {
  const stopped = await tryLock(file)
  const past = new Date(Date.now() - 6000)
  await utimes(file, past, past)
  // The first finds the dead lock and clears it away, the next takes it.
  expect(await tryLock(file)).toBeUndefined()
  const next = await tryLock(file)
  expect(next).toBeDefined()
  await stopped?.()
  expect(await tryLock(file)).toBeUndefined()
  await next?.()
})

test('it leaves signals alone: they belong to the wrapped command', async () => {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const before = signals.map((name) => process.listenerCount(name))
  const unlock = await tryLock(file)
  expect(signals.map((name) => process.listenerCount(name))).toEqual(before)
  await unlock?.()
})
