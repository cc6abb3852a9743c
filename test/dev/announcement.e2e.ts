import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ended, Home } from '../run/home.ts'

let home: Home
beforeEach(() => {
  home = new Home()
})
afterEach(() => home[Symbol.dispose]())

/** Starts `jit dev`, stops it when it says how, and gives what it said. */
async function untilReady(env: Record<string, string> = {}) {
  const dev = home.start(['dev'], env)
  const result = ended(dev)
  dev.stderr?.on('data', (chunk) => {
    if (String(chunk).includes('Ctrl-C stops it')) dev.kill('SIGTERM')
  })
  return result
}

test('jit dev tells a person how to go on, and nothing before it', async () => {
  const { code, stdout, stderr } = await untilReady()
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
  expect(stderr).toMatch(/^jit dev serves at http:\/\/127\.0\.0\.1:\d+ /)
  expect(stderr).not.toContain('{"')
})

test('its log is there when it is asked for', async () => {
  expect((await untilReady({ JIT_DEBUG: '1' })).stderr).toContain('"message":"serving"')
})

test('a port that is taken is said, with the way on', async () => {
  await using taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const port = String((taken.address() as AddressInfo).port)
  const { code, stderr } = await home.run(['dev', '--port', port])
  expect(code).toBe(2)
  expect(stderr).toBe(
    `jit: error: port ${port} is taken\njit: hint: give another --port, or none for one that is free\n`,
  )
})

test('a PostgreSQL that is not there is said, with the way on', async () => {
  const { code, stderr } = await home.run(['dev', '--postgres', 'postgres://a@127.0.0.1:9/x'])
  expect(code).toBe(1)
  expect(stderr).toContain('ECONNREFUSED')
  expect(stderr).toContain('jit: hint: is PostgreSQL running, and the address in --postgres right?')
})

test('a folder that can’t be made is said', async () => {
  writeFileSync(join(home.directory, 'file'), '')
  const { code, stderr } = await home.run(['dev', '--data', 'file/x'])
  expect(code).toBe(2)
  expect(stderr).toContain("jit: error: --data file/x: can't be written to (ENOTDIR)")
})
