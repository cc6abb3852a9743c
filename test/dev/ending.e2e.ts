import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn as spawnOnTerminal } from '@lydell/node-pty'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { JIT } from '../run/home.ts'

let temporary: string
let dev: ChildProcess | undefined

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'jit-ending-'))
})

afterEach(() => {
  dev?.kill('SIGKILL')
  rmSync(temporary, { recursive: true, force: true })
})

const env = () => ({ ...process.env, TMPDIR: temporary })
const left = () => readdirSync(temporary).filter((name) => name.startsWith('jit-dev-'))

function start(): ChildProcess {
  dev = spawn(process.execPath, [JIT, 'dev', '--json'], {
    env: env(),
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return dev
}

test('a hang-up while it stops does not end it halfway: its keys and ledger are gone', async () => {
  const child = start()
  if (!child.stdout) throw new Error('expected a pipe')
  await once(child.stdout, 'data')
  expect(left()).toHaveLength(1)
  child.kill('SIGTERM')
  child.kill('SIGHUP')
  expect(await once(child, 'exit')).toEqual([0, null])
  expect(left()).toEqual([])
})

test('TERM while it starts: what was started is stopped', async () => {
  const child = start()
  await expect.poll(left, { interval: 5, timeout: 10_000 }).toHaveLength(1)
  child.kill('SIGTERM')
  await once(child, 'exit')
  expect(left()).toEqual([])
})

test('it ends with its terminal', async () => {
  const pty = spawnOnTerminal(process.execPath, [JIT, 'dev'], { env: env() })
  const exited = new Promise((resolve) => pty.onExit(resolve))
  let shown = ''
  await new Promise<void>((resolve) => {
    pty.onData((text) => {
      shown += text
      if (shown.includes('Ctrl-C stops it')) resolve()
    })
  })
  pty.kill('SIGHUP')
  await exited
  expect(left()).toEqual([])
})
