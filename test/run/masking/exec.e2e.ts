import { spawn } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { credential, FakeBroker } from '../fake-broker.ts'
import { ended, Home, JIT } from '../home.ts'
import { Screen } from '../screen.ts'

const SECRET = 'T3b_Xk9-qLw27RzVdYh0mNfPcJsGa5EuK8oI1tM4xZA'
const ASK = ['exec', '--env', 'dev', '--task', 'deploy', '--quiet']
let broker: FakeBroker
let home: Home

beforeEach(async () => {
  broker = await FakeBroker.start()
  broker.behaviour.credentials = [{ ...credential({ PGPASSWORD: SECRET }), secrets: [SECRET] }]
  home = new Home()
  await home.signIn(broker.url)
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

/** Runs a shell script on a grant. */
const script = (body: string, mask = 'always') =>
  home.run([...ASK, '--mask', mask, '--', 'sh', '-c', body])

const LEAKS = [
  'echo "$PGPASSWORD"',
  'echo "postgres://j1:$PGPASSWORD@db/shop"',
  'printf \'{"password":"%s"}\\n\' "$PGPASSWORD"',
  'printf "j1:%s" "$PGPASSWORD" | base64',
  'printf %s "$PGPASSWORD" | od -An -v -tx1 | tr -d " \\n"; echo',
  'printf %.30s "$PGPASSWORD"; sleep 0.1; echo "$PGPASSWORD" | cut -c31-',
].join('\n')

describe('what a command writes of its credentials', () => {
  test('is masked on both streams, in each form', async () => {
    const expected =
      '[masked]\npostgres://j1:[masked]@db/shop\n{"password":"[masked]"}\najE6[masked]Q==\n[masked]\n[masked]\n'
    const { stdout, stderr } = await script(`{ ${LEAKS}\n}; { ${LEAKS}\n} >&2`)
    expect({ stdout, stderr }).toEqual({ stdout: expected, stderr: expected })
  })

  test('is masked by itself where others read it, and only there', async () => {
    const run = (mask: string, env: Record<string, string>) =>
      home.run([...ASK, '--mask', mask, '--', 'printenv', 'PGPASSWORD'], env)
    expect((await run('auto', { CI: '1' })).stdout).toBe('[masked]\n')
    expect((await run('auto', {})).stdout).toBe(`${SECRET}\n`)
    expect((await run('never', { CI: '1' })).stdout).toBe(`${SECRET}\n`)
  })

  test('is not looked at where no value is secret: the command writes by itself', async () => {
    broker.behaviour.credentials = [credential({ PGPASSWORD: SECRET })]
    const { stdout } = await script('readlink /proc/$$/fd/1; readlink /proc/$PPID/fd/1')
    const [own, jits] = stdout.split('\n')
    expect(own).toBe(jits)
  })
})

describe('a masked command is untouched otherwise', () => {
  test('its exit code, and the signal that ends it', async () => {
    expect(await script('exit 42')).toMatchObject({ code: 42, signal: null })
    expect(await script('kill -TERM $$')).toMatchObject({ code: null, signal: 'SIGTERM' })
  })

  test('its input, and all of its output, byte for byte', async () => {
    const child = home.start([...ASK, '--mask', 'always', '--', 'cat'])
    child.stdin?.end('ä\0b\n'.repeat(200_000))
    const { stdout } = await ended(child)
    expect(stdout).toBe('ä\0b\n'.repeat(200_000))
  })

  test('it may open its streams again, as scripts do', async () => {
    const { stdout, stderr } = await script('echo one >/dev/stdout; echo two >/dev/stderr')
    expect({ stdout, stderr }).toEqual({ stdout: 'one\n', stderr: 'two\n' })
  })

  test('it ends by SIGPIPE when nobody reads on, and so does jit', async () => {
    const jit = [process.execPath, JIT, ...ASK, '--mask', 'always', '--', 'yes', SECRET]
    const pipeline = `${jit.join(' ')} | head -1; echo "\${PIPESTATUS[0]}"`
    const { directory, env } = home
    const { stdout } = await ended(spawn('bash', ['-c', pipeline], { cwd: directory, env }))
    expect(stdout).toBe('[masked]\n141\n')
    expect((await broker.waitFor('release')).outcome).toEqual({ code: null, signal: 'SIGPIPE' })
  })

  test('what it leaves running does not keep jit, nor the grant', async () => {
    const began = performance.now()
    const { stdout, code } = await script('sleep 30 & echo $!; exit 3')
    process.kill(Number(stdout))
    expect(code).toBe(3)
    expect(performance.now() - began).toBeLessThan(15_000)
  })
})

describe('on a terminal', () => {
  const onTerminal = (...words: string[]) =>
    new Screen(home, ['env', 'CI=1', process.execPath, JIT, ...ASK, ...words])

  test('a command keeps it: nothing is masked there', async () => {
    const screen = onTerminal('--', 'sh', '-c', 'test -t 1 && test -t 2 && exit 6')
    expect((await screen.ended).exitCode).toBe(6)
  })

  test('--mask always says that it can not, and what can be done', async () => {
    const screen = onTerminal('--mask', 'always', '--', 'true')
    expect((await screen.ended).exitCode).toBe(125)
    expect(screen.text).toContain("--mask always: stdout is a terminal, which can't be masked")
    expect(screen.text).toContain('2>&1 | cat')
    expect(broker.upgrades).toEqual([])
  })
})
