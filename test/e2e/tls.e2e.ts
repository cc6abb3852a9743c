import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Home, JIT } from '../run/home.ts'
import { confirmDevice } from '../servers/browser.ts'
import { ControlPlane } from '../servers/control-plane.ts'

const directory = mkdtempSync(join(tmpdir(), 'jit-tls-'))
const cert = join(directory, 'cert.pem')
let provider: ControlPlane
let broker: ChildProcess
let home: Home
let url: string

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (!address || typeof address === 'string') throw new Error('no port')
  return address.port
}

function makeCertificate(): void {
  const key = join(directory, 'key.pem')
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...subject], {
    stdio: 'ignore',
  })
}

async function signIn(env: Record<string, string>): Promise<void> {
  const jit = home.start(['login', url, '--yes', '--json'], env)
  if (!jit.stdout) throw new Error('expected a pipe')
  for await (const line of createInterface({ input: jit.stdout })) {
    const { event, verification_uri_complete } = JSON.parse(line)
    if (event !== 'verification') continue
    await confirmDevice({ verificationUriComplete: verification_uri_complete, login: 'dev' })
  }
}

// A certificate is made by openssl; CI has it.
const lacking = spawnSync('openssl', ['version']).status !== 0 && !process.env.CI

describe.skipIf(lacking)('over TLS (needs openssl)', () => {
  beforeAll(async () => {
    makeCertificate()
    provider = await ControlPlane.start()
    const port = await freePort()
    url = `https://localhost:${port}`
    writeFileSync(
      join(directory, 'all.cedar'),
      '@id("all") permit (principal is Human, action, resource);',
    )
    writeFileSync(
      join(directory, 'broker.yaml'),
      `url: ${url}
listen: 127.0.0.1:${port}
tls: { cert: cert.pem, key: key.pem }
store: sqlite:ledger.db
policies: .
identity: [{ issuer: ${provider.issuer}, clients: { jit-cli: human } }]
tasks: { plan: {} }
environments: { dev: { tier: development } }
targets:
  api: { environment: dev, type: token, sensitivity: internal, audience: https://api.test, tasks: { plan: {} } }
`,
    )
    const config = join(directory, 'broker.yaml')
    broker = spawn(process.execPath, [JIT, 'broker', '--config', config], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    if (!broker.stderr) throw new Error('expected a pipe')
    for await (const line of createInterface({ input: broker.stderr })) {
      if (line.includes('serving')) break
      throw new Error(line)
    }
    home = new Home()
  })

  afterAll(async () => {
    broker.kill()
    await provider.stop()
    home[Symbol.dispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  test('a broker that speaks TLS is signed in at, and lifelines run over it', async () => {
    const trusted = { NODE_EXTRA_CA_CERTS: cert }
    await signIn(trusted)
    const exec = ['exec', '--env', 'dev', '--task', 'plan', '--quiet', '--']
    const result = await home.run([...exec, 'sh', '-c', 'test -n "$API_TOKEN"'], trusted)
    expect(result).toMatchObject({ code: 0, stderr: '' })
  })

  test('a certificate that nobody vouches for is refused', async () => {
    const { code, stderr } = await home.run(['login', url, '--yes'])
    expect(code).toBe(5)
    expect(stderr).toContain('certificate')
  })
})
