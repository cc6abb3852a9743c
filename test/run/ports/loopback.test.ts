import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { listenOnLoopback } from '../../../src/run/ports/loopback.ts'
import { runProgram } from './programs.ts'

/** Says "in" to whoever gets in. */
const greet = (socket: Socket) => socket.end('in')
const SETPRIV = '/usr/bin/setpriv'
const canBeAnother = (process.getuid?.() === 0 && existsSync(SETPRIV)) || process.env.CI

test('lets this user in', async () => {
  const listener = await listenOnLoopback(greet)
  const socket = connect(listener.port, '127.0.0.1')
  expect(String((await once(socket, 'data'))[0])).toBe('in')
  await listener.close()
})

// Needs root, to become somebody else.
test.skipIf(!canBeAnother)('lets no other user of the machine in', async () => {
  const listener = await listenOnLoopback(greet)
  const as = (uid: number) => {
    const ask = `exec 3<>/dev/tcp/127.0.0.1/${listener.port}; cat <&3`
    return runProgram(SETPRIV, [`--reuid=${uid}`, '--clear-groups', 'bash', '-c', ask], {})
  }
  expect((await as(0)).stdout).toBe('in')
  expect((await as(65_534)).stdout).toBe('')
  await listener.close()
})
