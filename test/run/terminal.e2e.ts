import { readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeBroker } from './fake-broker.ts'
import { Home, JIT } from './home.ts'
import { Screen } from './screen.ts'

const WRAPPED = [process.execPath, JIT, 'exec', '--env', 'dev', '--task', 'deploy', '--quiet', '--']
let broker: FakeBroker
let home: Home

beforeEach(async () => {
  broker = await FakeBroker.start()
  home = new Home()
  await home.signIn(broker.url)
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

function script(body: string): string {
  const file = join(home.directory, 'script.sh')
  writeFileSync(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 })
  return file
}

const count = (text: string, what: string): number => text.split(what).length - 1

describe.each([
  ['unwrapped', () => []],
  ['under jit exec', () => WRAPPED],
])('%s', (_, wrapped) => {
  test('a command has the terminal on all three streams', async () => {
    const file = script('test -t 0 && test -t 1 && test -t 2 && stty size && exit 6')
    const screen = new Screen(home, [...wrapped(), file])
    expect((await screen.ended).exitCode).toBe(6)
    expect(screen.text).toBe('24 80\r\n')
  })

  test('one Ctrl-C reaches it once, and it may go on', async () => {
    const body = `trap 'echo got' INT; echo ready; sleep 0.5; sleep 0.5; echo end; exit 3`
    const screen = new Screen(home, [...wrapped(), script(body)])
    await screen.shows('ready')
    screen.type('\x03')
    expect(await screen.ended).toEqual({ exitCode: 3, signal: 0 })
    expect(count(screen.text, 'got')).toBe(1)
    expect(screen.text).toContain('end')
  })

  test('Ctrl-C ends it by SIGINT, Ctrl-\\ by SIGQUIT', async () => {
    for (const [key, number] of [
      ['\x03', 2],
      ['\x1c', 3],
    ] as const) {
      const screen = new Screen(home, [
        ...wrapped(),
        script('ulimit -c 0; echo ready; exec sleep 60'),
      ])
      await screen.shows('ready')
      screen.type(key)
      expect((await screen.ended).signal).toBe(number)
    }
  })

  test('what is typed reaches it, and Ctrl-D ends its input', async () => {
    const screen = new Screen(home, [
      ...wrapped(),
      script('echo ready; while read -r l; do echo "<$l>"; done'),
    ])
    await screen.shows('ready')
    screen.type('one\r')
    await screen.shows('<one>')
    screen.type('\x04')
    expect((await screen.ended).exitCode).toBe(0)
  })

  test('Ctrl-Z stops it, fg continues it, and its exit code comes out', async () => {
    const shell = new Screen(home, ['bash', '--norc', '--noprofile', '-i'])
    const file = script('echo rea""dy; read -r line; echo "<$line>"; exit 5')
    shell.type(`PS1='$ '; ${[...wrapped(), file].map((word) => `'${word}'`).join(' ')}\r`)
    await shell.shows(/ready\r\n/)
    shell.type('\x1a')
    await shell.shows(/Stopped/)
    shell.type('fg; echo "rc=$?"\r')
    await shell.shows(/fg; echo[\s\S]*script/)
    shell.type('back\r')
    await shell.shows('<back>')
    await shell.shows('rc=5')
    shell.type('exit\r')
    await shell.ended
    expect(broker.received.some(({ type }) => type === 'suspend')).toBe(wrapped().length > 0)
  })

  test('a command that ignores Ctrl-Z goes on', async () => {
    const body = `trap '' TSTP; echo ready; read -r line; echo "<$line>"; exit 5`
    const screen = new Screen(home, [...wrapped(), script(body)])
    await screen.shows('ready')
    screen.type('\x1a')
    screen.type('on\r')
    await screen.shows('<on>')
    expect((await screen.ended).exitCode).toBe(5)
  })
})

test('a terminal that is closed ends the child, and the grant is given back', async () => {
  const screen = new Screen(home, [
    ...WRAPPED.filter((word) => word !== '--quiet'),
    script('echo ready; exec sleep 60'),
  ])
  await screen.shows('ready')
  screen.close()
  expect((await broker.waitFor('release')).outcome).toEqual({ code: null, signal: 'SIGHUP' })
  await screen.ended
})

test('an interactive shell ignores TERM: at the end of its grant it is hung up, and keeps its history', async () => {
  home.env.HISTFILE = join(home.directory, 'history')
  const screen = new Screen(home, [...WRAPPED, 'bash', '--norc', '--noprofile', '-i'])
  screen.type('history -s remembered; sleep 60 & echo rea""dy\r')
  await screen.shows(/ready\r\n/)
  broker.revoke('revoked', 'by lead')
  // After the grace it would have been killed.
  expect((await screen.ended).signal).toBe(constants.signals.SIGHUP)
  expect(readFileSync(home.env.HISTFILE, 'utf8')).toContain('remembered')
})

test('a background job gets what is sent to jit: INT is passed on', async () => {
  const shell = new Screen(home, ['bash', '--norc', '--noprofile', '-i'])
  const file = script(`trap 'echo got; exit 9' INT; echo rea""dy; while :; do sleep 0.05; done`)
  shell.type(`${[...WRAPPED, file].map((word) => `'${word}'`).join(' ')} &\r`)
  await shell.shows(/ready\r\n/)
  shell.type('kill -INT $!; wait $!; echo "rc=$?"\r')
  await shell.shows('rc=9')
  expect(count(shell.text, 'got\r\n')).toBe(1)
  shell.type('exit\r')
  await shell.ended
})
