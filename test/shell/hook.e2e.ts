import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hookScript } from '../../src/shell/hook.ts'
import { absent } from '../absent.ts'
import { FakeBroker } from '../run/fake-broker.ts'
import { Home, JIT } from '../run/home.ts'
import { Screen } from '../run/screen.ts'
import { Runtime, SHELLS, type Shell } from './hooked.ts'

const EXEC = ['exec', '--env', 'dev', '--task', 'deploy', '--quiet', '--']
/** The default of an IDE's terminal or of an SSH session: a shell that nobody told anything. */
const HOOK = `"${process.execPath}" "${JIT}" hook`

let broker: FakeBroker
let home: Home

beforeEach(async () => {
  broker = await FakeBroker.start()
  home = new Home()
  home.env.TERM = 'xterm'
  await home.signIn(broker.url)
  mkdirSync(join(home.directory, 'run'), { mode: 0o700 })
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

/** Settings as a person would write them. @returns how the shell is started with them */
function settings(shell: Shell): string[] {
  const write = (name: string, text: string) => {
    writeFileSync(join(home.directory, name), text)
    return join(home.directory, name)
  }
  if (shell === 'bash') {
    const file = write('.bashrc', `set -u\nPS1='[$?] bash$ '\neval "$(${HOOK} bash)"\n`)
    return ['bash', '--rcfile', file, '-i']
  }
  if (shell === 'zsh') {
    write('.zshrc', `setopt no_unset\nPROMPT='[%?] zsh%% '\neval "$(${HOOK} zsh)"\n`)
    return ['zsh', '-i']
  }
  const said = 'function fish_prompt; echo -n "[$status] fish> "; end\nset -g fish_greeting'
  mkdirSync(join(home.directory, '.config/fish'), { recursive: true })
  // Where it is, fish doesn't read all of the machine's manual to make it.
  mkdirSync(join(home.directory, '.local/share/fish/generated_completions'), { recursive: true })
  write('.config/fish/config.fish', `${said}\n${HOOK} fish | source\n`)
  return ['fish', '-i']
}

/** What stays of a terminal's text when nothing obeys it. */
const ESC = '\u001b'
const plain = (text: string) =>
  text.replaceAll(new RegExp(`${ESC}(\\[[\\d;?>=]*[a-zA-Z]|[()]B|[>=])|[\\u000f\\r]`, 'g'), '')

describe.each(SHELLS.map((shell) => [shell] as const))('%s', (shell) => {
  const here = test.skipIf(absent(shell))

  here('under jit exec shows the grant that it lives in, which is gone afterwards', async () => {
    const start = settings(shell)
    const screen = new Screen(home, start)
    await screen.shows(/\[0\]/)
    expect(plain(screen.text)).not.toContain('dev:deploy')
    screen.text = ''
    screen.type(`"${process.execPath}" "${JIT}" ${[...EXEC, ...start].join(' ')}\r`)
    await screen.shows(/dev:deploy 1[45]m.*\[0\]/)
    screen.type("sh -c 'exit 7'\r")
    await screen.shows(/\[7\]/)
    screen.text = ''
    screen.type(`exit 3\r`)
    await screen.shows(/\[3\]/)
    screen.text = ''
    screen.type('true\r')
    await screen.shows(/\[0\]/)
    expect(plain(screen.text)).not.toContain('dev:deploy')
    screen.close()
  })

  test.skipIf(absent(shell) || absent('strace'))(
    'no process is started for a prompt, however many grants there are',
    () => {
      using runtime = new Runtime()
      for (let at = 0; at < 20; at += 1) runtime.hold(`g_${at}`, { agent: 'claude' })
      const once = runtime.processesOf(shell, 1)
      expect(once).toBeGreaterThan(0)
      expect(runtime.processesOf(shell, 4)).toBe(once)
    },
  )
})

test('what jit exec holds is in the prompt, and not when it was killed', async () => {
  const env = { JIT_AGENT: 'claude' }
  await home.signIn(broker.url, 'claude')
  const child = home.start([...EXEC, 'sh', '-c', 'echo ready; exec sleep 60'], env)
  await once(child.stdout ?? child, 'data')
  const { stdout } = await home.run(['prompt'])
  expect(stdout).toMatch(/^dev:deploy 1[45]m \(claude\)\n$/)
  const shaped = ['prompt', '--format', '{agent}@{environment} {tier}']
  expect((await home.run(shaped)).stdout).toMatch(/^claude@dev \w+\n$/)
  const { grants } = JSON.parse((await home.run(['prompt', '--json'])).stdout)
  expect(grants).toEqual([
    expect.objectContaining({
      id: broker.grant,
      environment: 'dev',
      task: 'deploy',
      agent: 'claude',
    }),
  ])
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(readdirSync(join(home.directory, 'run/jit/grants'))).toEqual([broker.grant])
  expect((await home.run(['prompt'])).stdout).toBe('')
})

test('a format that is none is a mistake', async () => {
  expect(await home.run(['prompt', '--format', '{nope}'])).toMatchObject({ code: 2, stdout: '' })
})

test.skipIf(absent('tmux') || absent('bash'))('in tmux it is shown, too', async () => {
  using runtime = new Runtime()
  runtime.hold('g_a')
  const rc = join(runtime.directory, 'rc')
  writeFileSync(rc, `PS1='\\nin tmux$ '\n${hookScript('bash', { prompt: true })}\n`)
  const socket = join(runtime.directory, 'tmux')
  const tmux = (...args: string[]) =>
    spawnSync('tmux', ['-S', socket, '-f', '/dev/null', ...args], {
      env: runtime.env,
      encoding: 'utf8',
    }).stdout
  tmux('new-session', '-d', '-x', '80', '-y', '10', `bash --rcfile ${rc} -i`)
  try {
    let screen = ''
    while (!screen.includes('in tmux')) {
      await wait(50)
      screen = tmux('capture-pane', '-p')
    }
    expect(screen.trim()).toBe('prod:deploy 12m in tmux$')
  } finally {
    tmux('kill-server')
  }
})
