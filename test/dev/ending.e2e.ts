import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IPty, spawn as spawnOnTerminal } from '@lydell/node-pty'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
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

describe('on a terminal', () => {
  let pty: IPty
  let exited: Promise<unknown>
  let shown: string
  beforeEach(async () => {
    const data = join(temporary, 'data')
    pty = spawnOnTerminal(process.execPath, [JIT, 'dev', '--data', data], { env: env() })
    exited = new Promise((resolve) => pty.onExit(resolve))
    shown = ''
    pty.onData((text) => {
      shown += text
    })
    await shows('Ctrl-C stops it')
  })
  afterEach(() => pty.kill('SIGKILL'))
  const shows = (what: string) => expect.poll(() => shown).toContain(what)

  test('it ends when that is closed', async () => {
    // Closes the terminal, and only then signals.
    ;(pty as IPty & { destroy(): void }).destroy()
    await exited
    expect(existsSync(join(temporary, 'data', 'ledger.db-wal'))).toBe(false)
  })

  test.runIf(process.platform === 'linux')('HUP by hand reads the policies again', async () => {
    const policies = join(temporary, 'data', 'policies')
    expect(shown.replaceAll('\r\n', '\n')).toContain(policies)
    pty.kill('SIGHUP')
    await shows('the policies were read again')
    writeFileSync(join(policies, 'wrong.cedar'), 'permit (')
    pty.kill('SIGHUP')
    await shows('what was in force before still is')
    pty.write('\x03')
    await exited
  })
})
