import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Deps } from '../../../src/cli/deps.ts'
import { lookAtBroker } from '../../../src/cli/doctor/reach.ts'
import { memoryKeystore } from '../../../src/keystore/memory.ts'

let server: Server
let broker: string
beforeEach(async () => {
  server = createServer((request, response) =>
    request.url === '/healthz'
      ? response.end('{"status":"ok"}')
      : response.writeHead(404, { 'content-type': 'application/problem+json' }).end('{}'),
  ).listen(0, '127.0.0.1')
  await once(server, 'listening')
  broker = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => server.close())

/** What is found by a machine whose clock is wrong by so much. */
async function found(ahead: number) {
  const folder = join(tmpdir(), 'jit-nowhere')
  const deps = {
    env: { JIT_BROKER: broker },
    clock: { now: () => Date.now() + ahead, monotonic: () => performance.now() },
    paths: { config: folder, data: folder, cache: folder, runtime: folder },
    keystore: async () => memoryKeystore(),
    interrupted: new AbortController().signal,
  } as unknown as Deps
  const findings = await lookAtBroker(deps)
  return Object.fromEntries(findings.map(({ check, ...finding }) => [check, finding]))
}

test.each([
  [0, 'ok', "this machine's clock agrees with the broker's"],
  [-30_000, 'warning', "this machine's clock is 30s behind the broker's"],
  [
    300_000,
    'problem',
    "this machine's clock is 300s ahead of the broker's: it takes no proof of yours",
  ],
])('a clock that is %i ms wrong: %s', async (ahead, state, message) => {
  const { clock } = await found(ahead)
  expect(clock?.state).toBe(state)
  // The broker says whole seconds.
  const blurred = (text = '') =>
    text.replace(/\d+s/, (span) => `${Math.round(Number.parseInt(span, 10) / 10)}0s`)
  expect(blurred(clock?.message)).toBe(blurred(message))
})

test('nobody signed in is a warning with the way on', async () => {
  const { broker: reached, session } = await found(0)
  expect(reached).toMatchObject({ state: 'ok', message: expect.stringContaining(broker) })
  expect(session).toMatchObject({ state: 'warning', hint: 'jit login' })
})

test('a broker that is out of reach is the one thing that is told', async () => {
  server.close()
  await once(server, 'close')
  const findings = await found(0)
  expect(findings).toEqual({
    broker: expect.objectContaining({
      state: 'problem',
      message: expect.stringContaining('nothing listens'),
    }),
  })
})
