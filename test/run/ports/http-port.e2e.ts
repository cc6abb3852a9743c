import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { localPorts } from '../../../src/run/ports/local-ports.ts'
import type { Ports } from '../../../src/run/ports/ports.ts'
import { Api, type Issued, issueCertificate, trust } from './api.ts'
import { tokenCredential } from './credentials.ts'
import { runProgram } from './programs.ts'

const TOKEN = `canary.${randomBytes(300).toString('base64url')}`
const AUTHORIZATION = ['--header', 'authorization: Bearer $API_TOKEN']
let folder: string
let ports: Ports

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jit-ports-'))
  ports = localPorts({ folder: join(folder, 'ports') })
})
afterEach(async () => {
  await ports.close()
  rmSync(folder, { recursive: true, force: true })
})

type Environment = Record<string, string>

async function deliver(url: string, token = TOKEN, lease = 'l1'): Promise<Environment> {
  return (await ports.deliver(tokenCredential(url, token, lease))).env
}

const withToken = (env: Environment) =>
  AUTHORIZATION.map((word) => word.replace('$API_TOKEN', env.API_TOKEN ?? ''))

const curl = (env: Environment, ...args: string[]) =>
  runProgram('curl', ['--silent', '--show-error', '--max-time', '10', ...args], env)

const FETCH = `
  const response = await fetch(process.env.API_URL + '/x', {
    headers: { authorization: 'Bearer ' + process.env.API_TOKEN } })
  process.stdout.write(response.status + ' ' + await response.text())`

describe('a plain API on loopback', () => {
  let api: Api
  beforeEach(async () => {
    api = await Api.start()
  })
  afterEach(() => api[Symbol.asyncDispose]())

  test('gets the token from curl, which never has it', async () => {
    const env = await deliver(api.url())
    expect(JSON.stringify(env)).not.toContain(TOKEN)
    const { code, stdout } = await curl(env, ...withToken(env), `${env.API_URL}/things?a=b`)
    expect(code).toBe(0)
    expect(api.seen[0]?.line).toBe('GET /things?a=b')
    expect(api.seen[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`)
    expect(api.seen[0]?.headers).not.toHaveProperty('proxy-authorization')
    expect(JSON.parse(stdout).authorization).toBe(`Bearer ${env.API_TOKEN}`)
  })

  test("gets it from Node's fetch", async () => {
    const env = await deliver(api.url())
    const script = ['--input-type=module', '--eval', FETCH]
    const { stdout, stderr } = await runProgram(process.execPath, script, env)
    expect({ stderr, status: stdout.slice(0, 3) }).toEqual({ stderr: '', status: '200' })
    expect(api.seen[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`)
    expect(stdout).not.toContain(TOKEN)
  })

  test('gets it in a body as well, whose length stays', async () => {
    const env = await deliver(api.url())
    const padding = 'x'.repeat(5_000_000)
    writeFileSync(join(folder, 'body'), `${padding}{"token":"${env.API_TOKEN}"}${padding}`)
    const { code, stdout } = await curl(env, '--data-binary', `@${join(folder, 'body')}`, api.url())
    expect(code).toBe(0)
    expect(api.seen[0]?.body === `${padding}{"token":"${TOKEN}"}${padding}`).toBe(true)
    expect(api.seen[0]?.headers['content-length']).toBe(String(api.seen[0]?.body.length))
    expect(stdout.includes(TOKEN)).toBe(false)
    expect(stdout.length).toBeGreaterThan(10_000_000)
  })

  test('a token shorter than what stands for it is put in and taken out as well', async () => {
    const env = await deliver(api.url(), 'short-canary')
    const body = ['--data', `token=${env.API_TOKEN}`]
    const { stdout } = await curl(env, '--include', ...withToken(env), ...body, api.url())
    expect(api.seen[0]?.body).toBe('token=short-canary')
    expect(api.seen[0]?.headers.authorization).toBe('Bearer short-canary')
    expect(stdout).toContain(`x-was-sent: Bearer ${env.API_TOKEN}`)
    expect(stdout).not.toContain('short-canary')
  })

  test('an answer that comes bit by bit is not held up', async () => {
    const env = await deliver(api.url())
    api.answer = (_seen, response) => {
      response.write('first\n')
      request.stdout.once('data', () => response.end('second\n'))
    }
    const { spawn } = await import('node:child_process')
    const request = spawn('curl', ['--silent', '--no-buffer', '--max-time', '10', api.url()], {
      env: { PATH: process.env.PATH ?? '', ...env },
    })
    const ended = await new Promise((resolve) => request.once('close', resolve))
    expect(ended).toBe(0)
  })

  test('what is left open is used again', async () => {
    const env = await deliver(api.url())
    await curl(env, api.url(), api.url(), api.url())
    expect(api.seen).toHaveLength(3)
    expect(new Set(api.seen.map(({ connection }) => connection)).size).toBe(1)
  })

  test('another port of the same host is refused, and gets nothing', async () => {
    await using other = await Api.start()
    const env = await deliver(api.url())
    const { stdout } = await curl(
      env,
      ...withToken(env),
      '--write-out',
      '%{http_code}',
      other.url(),
    )
    expect(stdout).toMatch(/403$/)
    expect(other.seen).toEqual([])
  })

  test('two APIs on one host get each its own', async () => {
    await using other = await Api.start()
    const one = await deliver(api.url(), TOKEN, 'l1')
    const two = await deliver(other.url(), 'the-other-canary', 'l2')
    await curl(two, ...withToken(one), '--header', `x-own: ${two.API_TOKEN}`, other.url())
    expect(other.seen[0]?.headers.authorization).toBe(`Bearer ${one.API_TOKEN}`)
    expect(other.seen[0]?.headers['x-own']).toBe('the-other-canary')
  })

  test('a redirect to another host carries no token', async () => {
    await using other = await Api.start()
    const env = await deliver(api.url())
    api.answer = (_seen, response) => {
      response.writeHead(302, { location: `${other.url('localhost')}/` }).end()
    }
    const args = ['--location-trusted', '--noproxy', 'localhost', ...withToken(env), api.url()]
    await curl(env, ...args)
    expect(other.seen[0]?.headers.authorization).toBe(`Bearer ${env.API_TOKEN}`)
  })

  test('a request that names another host than it goes to is refused', async () => {
    const env = await deliver(api.url())
    const host = ['--header', 'host: other.example.com']
    const { stdout } = await curl(env, ...withToken(env), ...host, api.url())
    expect(stdout).toContain('jit: the request names another host')
    expect(api.seen).toEqual([])
  })

  test('who does not know the password of the proxy is refused', async () => {
    const env = await deliver(api.url())
    const http_proxy = (env.http_proxy ?? '').replace(/jit:[^@]*/, 'jit:guessed')
    const { stdout } = await curl({ ...env, http_proxy }, '--include', api.url())
    expect(stdout).toMatch(/^HTTP\/1.1 407/)
    expect(api.seen).toEqual([])
  })

  test('after the end of the lease what stood for the token is nothing, and what is open ends', async () => {
    const env = await deliver(api.url())
    const asked = Promise.withResolvers<void>()
    api.answer = () => asked.resolve()
    const waiting = curl(env, ...withToken(env), api.url())
    await asked.promise
    const started = performance.now()
    await ports.end('l1')
    expect((await waiting).code).not.toBe(0)
    expect(performance.now() - started).toBeLessThan(15_000)
    const { stdout } = await curl(env, ...withToken(env), '--write-out', '%{http_code}', api.url())
    expect(stdout).toMatch(/403$/)
    expect(api.seen).toHaveLength(1)
  })

  test('an API that is not there is said as such, without the token', async () => {
    const env = await deliver(api.url())
    const url = api.url()
    await api[Symbol.asyncDispose]()
    const file = join(folder, 'body')
    writeFileSync(file, 'x'.repeat(3_000_000))
    for (const body of [[], ['--data-binary', `@${file}`]]) {
      const { stdout } = await curl(env, '--include', ...withToken(env), ...body, url)
      expect(stdout).toMatch(/HTTP\/1.1 502[\s\S]*ECONNREFUSED/)
    }
    api = await Api.start()
  })
})

describe('an API with TLS', () => {
  let issued: Issued
  let trusted: Disposable
  let api: Api
  beforeAll(async () => {
    issued = await issueCertificate('localhost')
    trusted = trust(issued.ca)
    api = await Api.start(issued)
  })
  afterAll(async () => {
    trusted?.[Symbol.dispose]()
    await api?.[Symbol.asyncDispose]()
  })

  test('gets the token from curl and from Node, which trust the port', async () => {
    const env = await deliver(api.url('localhost'))
    const { stdout, stderr } = await curl(env, ...withToken(env), `${env.API_URL}/things`)
    expect(stderr).toBe('')
    expect(JSON.parse(stdout).authorization).toBe(`Bearer ${env.API_TOKEN}`)
    expect(api.seen.at(-1)?.headers.authorization).toBe(`Bearer ${TOKEN}`)
    const script = ['--input-type=module', '--eval', FETCH]
    const node = await runProgram(process.execPath, script, env)
    expect(node.stderr).toBe('')
    expect(node.stdout).toMatch(/^200 /)
    expect(node.stdout).not.toContain(TOKEN)
    expect(api.seen.at(-1)?.headers.authorization).toBe(`Bearer ${TOKEN}`)
  })

  test('large answers come whole', async () => {
    const body = randomBytes(20_000_000)
    api.answer = (_seen, response) => void response.end(body)
    const env = await deliver(api.url('localhost'))
    const file = join(folder, 'answer')
    await curl(env, '--output', file, api.url('localhost'))
    const { stdout } = await runProgram('sha256sum', [file], {})
    expect(stdout.slice(0, 64)).toBe(createHash('sha256').update(body).digest('hex'))
  })

  test('one whose certificate is for another name gets nothing', async () => {
    const before = api.seen.length
    const env = await deliver(api.url('127.0.0.1'))
    const { stdout } = await curl(env, ...withToken(env), `${env.API_URL}/things`)
    expect(stdout).toContain('jit: 127.0.0.1')
    expect(api.seen).toHaveLength(before)
  })

  test('certificates to trust are not left in a folder where others could exchange them', async () => {
    chmodSync(folder, 0o777)
    await expect(deliver(api.url('localhost'))).rejects.toMatchObject({ code: 'config_invalid' })
  })

  test('another host is refused at the door', async () => {
    const env = await deliver(api.url('localhost'))
    const { code, stderr } = await curl(env, ...withToken(env), 'https://other.example.com/')
    expect({ code, stderr }).toEqual({ code: 56, stderr: expect.stringContaining('403') })
  })

  test('the certificates to trust hold no key, and go with the port', async () => {
    await deliver(api.url('localhost'))
    const bundles = join(folder, 'ports')
    const [file = ''] = readdirSync(bundles)
    const { stdout } = await runProgram('cat', [join(bundles, file)], {})
    expect(stdout).toContain('BEGIN CERTIFICATE')
    expect(stdout).not.toContain('PRIVATE KEY')
    await ports.close()
    expect(readdirSync(bundles)).toEqual([])
    ports = localPorts({ folder: join(folder, 'ports') })
  })
})
