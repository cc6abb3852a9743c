import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
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

  test.each([
    [['grnats'], "unknown command 'grnats'", 'did you mean grants?'],
    [['grants', '--jsn'], "unknown option '--jsn'", 'did you mean --json?'],
    [['help', 'grnats'], "unknown command 'grnats'", 'did you mean grants?'],
    [['policy', 'chek'], "unknown command 'chek'", 'did you mean check?'],
    [['show'], "missing required argument 'id'", "see 'jit show --help'"],
    [['nothing-like-it'], "unknown command 'nothing-like-it'", "see 'jit --help'"],
    [['grants', '--mine', '--all'], '--mine and --all exclude each other', undefined],
    [
      ['revoke'],
      'name the grants, or give one of --mine, --all, --user and --agent',
      "'jit grants' lists them",
    ],
    [
      ['revoke', 'g_1', '--all'],
      'name the grants, or give one of --mine, --all, --user and --agent',
      undefined,
    ],
  ])('%j is a usage error that says what was expected', async (args, message, hint) => {
    const { code, stdout, stderr } = await home.run(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(`jit: error: ${message}`)
    if (hint) expect(stderr).toContain(`jit: hint: ${hint}`)
  })

  test.each([
    [['exec', 'terraform', 'apply'], "too many arguments for 'exec'"],
    [['exec', 'ls', '-la'], "unknown option '-la'"],
    [['sandbox', 'claude'], "too many arguments for 'sandbox'"],
  ])('%j is told where a command stands', async (args, message) => {
    const { code, stderr } = await home.run(args)
    expect(code).toBe(125)
    expect(stderr).toContain(`jit: error: ${message}`)
    expect(stderr).toContain("stands after '--'")
  })

  test.each([
    ['--env', 'a b', '--env: expected a name'],
    ['--target', 'A', '--target: expected a name'],
    ['--label', 'A B=c', '--label A B: expected a name'],
    ['--reason', 'a'.repeat(2001), '--reason: expected at most 2000 characters'],
    ['--ttl', '5', "'5' is not a duration"],
  ])('%s %j is refused by the name of the flag, before anything is asked', async (...words) => {
    const [flag, value, message] = words
    await home.signIn('http://127.0.0.1:9')
    const ask = ['exec', '--env', 'dev', '--task', 'deploy', flag, value, '--', 'true']
    const { code, stderr } = await home.run(ask)
    expect(code).toBe(125)
    expect(stderr).toContain(`jit: error: ${message}`)
  })

  test('an address that can’t be one is blamed on where it stands', async () => {
    const { code, stderr } = await home.run(['status'], { JIT_BROKER: 'http://jit.example' })
    expect(code).toBe(2)
    expect(stderr).toContain("jit: error: JIT_BROKER: 'http://jit.example' is not the address")
  })

  test('a profile that isn’t trusted is named, with the way on', async () => {
    await home.signIn('http://127.0.0.1:9')
    const profiles = 'version: 1\nprofiles:\n  look: { environment: dev, task: plan }\n'
    writeFileSync(join(home.directory, '.jit.yaml'), profiles)
    const { code, stderr } = await home.run(['exec', 'look', '--', 'true'])
    expect(code).toBe(125)
    expect(stderr).toMatch(
      /^jit: error: profile 'look' can't be used: .*\.jit\.yaml is not trusted/,
    )
    expect(stderr).toContain("'jit trust'")
  })

  test.each([
    ['HTML', 200, 'text/html', '<html>hello</html>'],
    ['a page that is not found', 404, 'text/html', '<html>no</html>'],
    ['nothing', 204, 'text/plain', ''],
    ['JSON of another kind', 200, 'application/json', '[]'],
  ])('a server that answers %s is one error, in words', async (_, status, type, body) => {
    const server = createServer((_request, response) =>
      response.writeHead(status, { 'content-type': type }).end(body),
    )
    await using listening = server.listen(0, '127.0.0.1')
    await once(listening, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await home.signIn(url)
    for (const command of [['status'], ['login', url]]) {
      const { code, stdout, stderr } = await home.run(command)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr.match(/^jit: error: /gm)).toHaveLength(1)
      expect(stderr).not.toMatch(/Unexpected token|undefined|<html>/)
      if (type === 'text/html' && command[0] === 'login') {
        expect(stderr).toContain('does not answer as a broker')
      }
    }
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
