import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { type IPty, spawn as spawnPty } from '@lydell/node-pty'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const DEMO = join(import.meta.dirname, '..', '..', 'examples', 'demo', 'demo.ts')
/** Both ways of it end in the same proof; this one needs no terraform. */
const MIGRATION = ['--migration']
const terraform = spawnSync('terraform', ['version']).status === 0
const PROOF = [
  /✓ signed in at http:\/\/127\.0\.0\.1:\d+ as dev/,
  /applied 002_orders\.sql|Apply complete!/,
  /✓ revoked .*dev-db/,
  /password authentication failed for user "(j[a-z0-9]{31})" \(SQLSTATE 28P01\)/,
  /"state": "revoked"/,
  /grant\.revoked +dev/,
  /the log is whole: \d+ entries/,
  /✓ {2}all seen in/,
]

let temporary: string

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'jit-test-'))
})

afterEach(async () => {
  await rm(temporary, { recursive: true, force: true })
})

/** All that the demo makes is in here, and its processes are known by it. */
const environment = () => ({ PATH: process.env.PATH ?? '', HOME: temporary, TMPDIR: temporary })

function startPiped(options = MIGRATION): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, [DEMO, ...options], {
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part) => (text += part))
  return { child, output: () => text }
}

function startAtTerminal(): {
  pty: IPty
  until: (text: RegExp) => Promise<void>
  output: () => string
  ended: Promise<number>
} {
  const pty = spawnPty(process.execPath, [DEMO, ...MIGRATION], {
    env: environment(),
    cols: 120,
    rows: 40,
  })
  let text = ''
  const waiting: { pattern: RegExp; resolve: () => void }[] = []
  pty.onData((part) => {
    text += part
    for (const { pattern, resolve } of waiting) if (pattern.test(text)) resolve()
  })
  return {
    pty,
    output: () => stripVTControlCharacters(text),
    until: (pattern) => new Promise((resolve) => waiting.push({ pattern, resolve })),
    ended: new Promise((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode))),
  }
}

/** Command lines and environments that name the temporary directory. */
async function processesLeft(): Promise<string[]> {
  if (!existsSync('/proc')) return []
  const left: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const read = (file: string) => readFile(join('/proc', pid, file), 'utf8').catch(() => '')
    const command = await read('cmdline')
    if (`${command}${await read('environ')}`.includes(temporary)) left.push(command)
  }
  return left
}

async function expectNothingLeft(): Promise<void> {
  expect(await processesLeft()).toEqual([])
  expect(await readdir(temporary)).toEqual([])
}

describe('the demo', () => {
  const ways = [
    { work: 'a migration', options: MIGRATION },
    ...(terraform ? [{ work: 'terraform', options: [] }] : []),
  ]

  it.each(ways)('shows $work without a terminal, and leaves nothing', async ({ options }) => {
    const { child, output } = startPiped(options)
    const [code] = await once(child, 'close')
    for (const pattern of PROOF) expect(output()).toMatch(pattern)
    expect(code).toBe(0)
    await expectNothingLeft()
  })

  it('waits at a terminal for Enter to confirm the sign-in', async () => {
    const { pty, until, output, ended } = startAtTerminal()
    await until(/press Enter/)
    expect(output()).not.toContain('signed in')
    pty.write('\r')
    const code = await ended
    for (const pattern of PROOF) expect(output()).toMatch(pattern)
    expect(code).toBe(0)
    await expectNothingLeft()
  })

  it.each([/press Enter/, /applied 001/])('leaves nothing after Ctrl-C at %s', async (moment) => {
    const { pty, until, output, ended } = startAtTerminal()
    void until(/press Enter/).then(() => moment.source === 'press Enter' || pty.write('\r'))
    await until(moment)
    pty.write('\x03')
    expect(await ended).toBe(130)
    expect(output()).not.toContain('all seen')
    await expectNothingLeft()
  })

  it('leaves nothing after TERM', async () => {
    const { child, output } = startPiped()
    child.stdout?.on('data', () => /granted g_/.test(output()) && child.kill('SIGTERM'))
    const [code] = await once(child, 'close')
    expect(code).toBe(143)
    await expectNothingLeft()
  })
})
