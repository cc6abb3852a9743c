import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Home, JIT } from '../run/home.ts'

let home: Home
beforeEach(() => {
  home = new Home()
})
afterEach(() => home[Symbol.dispose]())

describe('a command line', () => {
  test('without anything prints the help', async () => {
    const { code, stdout, stderr } = await home.run([])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^Usage: jit /)
    expect(stdout).toMatch(/^Work:\n {2}exec /m)
    expect(stdout).toContain('jit exec --env prod --task deploy -- terraform apply')
  })

  test('help of a command below another is its own', async () => {
    const { code, stdout } = await home.run(['help', 'policy', 'test'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Usage: jit policy test /)
  })

  test('in a folder that is gone one that needs it says so, and no other minds', () => {
    const gone = (...args: string[]) => {
      const script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
      const words = ['-c', script, 'sh', process.execPath, JIT, ...args]
      return spawnSync('sh', words, { cwd: home.directory, env: home.env, encoding: 'utf8' })
    }
    expect(gone('exec', '--env', 'dev', '--task', 'plan', '--', 'true')).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('jit: error: the folder that you stand in is gone'),
    })
    expect(gone('grants').stderr).toContain('not signed in')
  })

  test('--version prints the version alone', async () => {
    expect(await home.run(['--version'])).toMatchObject({ code: 0, stdout: '0.1.0\n', stderr: '' })
  })

  test('what was expected is said, and 2 is for wrong usage; 125 where a command would have run', async () => {
    const { code, stdout, stderr } = await home.run(['grnats'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toBe("jit: error: unknown command 'grnats'\njit: hint: did you mean grants?\n")
    expect((await home.run(['exec', 'terraform', 'apply'])).code).toBe(125)
  })

  test('an error is one JSON object with --json', async () => {
    const { code, stderr } = await home.run(['status', '--json'])
    expect(code).toBe(4)
    expect(JSON.parse(stderr).error).toMatchObject({ code: 'not_signed_in' })
  })

  test('a broker that is not there is 5', async () => {
    await home.signIn('http://127.0.0.1:9')
    for (const command of ['whoami', 'status', 'grants', 'audit']) {
      expect(await home.run([command])).toMatchObject({ code: 5, stdout: '' })
    }
  })

  test('a stack is shown only when it is asked for', async () => {
    const plain = await home.run(['status'])
    expect(plain.stderr).not.toMatch(/^ +at /m)
    const debug = await home.run(['status'], { JIT_DEBUG: '1' })
    expect(debug.stderr).toMatch(/^ +at /m)
  })

  test('colours are shown where they are forced, and never against NO_COLOR', async () => {
    expect((await home.run(['status'], { FORCE_COLOR: '1' })).stderr).toContain('\u001b[31m')
    const both = await home.run(['status'], { FORCE_COLOR: '1', NO_COLOR: '1' })
    expect(both.stderr).not.toContain('\u001b[')
  })
})

describe('starting', () => {
  test('an old Node is told so in one line', () => {
    const preload = "Object.defineProperty(process.versions,'node',{value:'20.20.2'})"
    const url = `data:text/javascript,${encodeURIComponent(preload)}`
    const { status, stderr } = spawnSync(process.execPath, ['--import', url, JIT, '--version'], {
      encoding: 'utf8',
    })
    expect(status).toBe(1)
    expect(stderr).toMatch(/^jit: error: needs Node .*; this is 20\.20\.2\n$/)
  })

  test('compiled code rests in a folder of this user alone, or nowhere', async () => {
    await home.run(['--version'])
    const folder = join(home.directory, '.cache', 'jit', 'compiled')
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    const open = join(home.directory, 'open')
    mkdirSync(join(open, 'jit', 'compiled'), { recursive: true, mode: 0o777 })
    spawnSync('chmod', ['777', join(open, 'jit', 'compiled')])
    await home.run(['--version'], { XDG_CACHE_HOME: open })
    expect(readdirSync(join(open, 'jit', 'compiled'))).toEqual([])
  })

  test('--version loads neither Cedar, nor keytar, nor a server', () => {
    const hook = `import { registerHooks } from 'node:module'
      registerHooks({ resolve(name, context, next) {
        const found = next(name, context); process._rawDebug(found.url); return found } })`
    const url = `data:text/javascript,${encodeURIComponent(hook)}`
    const { stderr, stdout } = spawnSync(process.execPath, ['--import', url, JIT, '--version'], {
      encoding: 'utf8',
      env: home.env,
    })
    expect(stdout).toBe('0.1.0\n')
    expect(stderr).toContain('dist/main.js')
    expect(stderr).not.toMatch(/node_modules|node:(http|sqlite|tls|child_process)/)
    expect(existsSync(join(home.directory, '.config'))).toBe(false)
  })
})
