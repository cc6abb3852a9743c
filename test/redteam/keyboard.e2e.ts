import { expect, test } from 'vitest'
import { Home, JIT } from '../run/home.ts'

/** What an interactive shell shows when it is told to run this in the background. */
async function inBackground(command: string, until: RegExp): Promise<string> {
  using home = new Home()
  home.env.NO_COLOR = '1'
  const shell = home.terminal('/bin/bash', ['--norc', '-i'])
  try {
    return await new Promise((resolve) => {
      let shown = ''
      shell.onData((text) => {
        shown += text
        if (until.test(shown)) resolve(shown)
      })
      shell.write(`${command} &\r`)
    })
  } finally {
    shell.kill('SIGKILL')
  }
}

test('a sandbox in the background doesn’t start: it would read what is typed to others', async () => {
  const command = `'${process.execPath}' '${JIT}' sandbox -- sh -c 'read word; echo "got $word"'`
  const shown = await inBackground(command, /jit: hint: .*\r\n/)
  expect(shown).toContain(
    'jit: error: a sandbox in the background would read what you type to others',
  )
})
