import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { absent } from '../absent.ts'
import { Home, JIT } from '../run/home.ts'
import { confirmDevice } from '../servers/browser.ts'
import { makeCertificate } from '../servers/certificate.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { freePort } from '../servers/free-port.ts'

const directory = mkdtempSync(join(tmpdir(), 'jit-tls-'))
const cert = join(directory, 'cert.pem')
let provider: ControlPlane
let broker: ChildProcess
let home: Home
let url: string
let port: number
let ca: Buffer

/** Asks on a connection of its own. */
async function ask(): Promise<IncomingMessage> {
  const [response] = await once(get(`${url}/healthz`, { agent: false, ca }), 'response')
  return response.resume()
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
describe.skipIf(absent('openssl'))('over TLS (needs openssl)', () => {
  beforeAll(async () => {
    makeCertificate(directory)
    provider = await ControlPlane.start()
    port = await freePort()
    ca = readFileSync(cert)
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
limits: { connections_per_address: 20 }
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

  test('browsers are told to come by https alone', async () => {
    const { headers } = await ask()
    expect(headers['strict-transport-security']).toBe('max-age=31536000')
  })

  test('connections past those of an address are told so', async () => {
    const held = Array.from({ length: 20 }, () => connect({ host: 'localhost', port, ca }))
    await Promise.all(held.map((socket) => once(socket, 'secureConnect')))
    const { statusCode, headers } = await ask()
    expect(statusCode).toBe(429)
    expect(headers['retry-after']).toBe('5')
    for (const socket of held) socket.destroy()
    await expect.poll(async () => (await ask()).statusCode).toBe(200)
  })

  test('a certificate that nobody vouches for is refused', async () => {
    const { code, stderr } = await home.run(['login', url, '--yes'])
    expect(code).toBe(5)
    expect(stderr).toContain('certificate')
  })
})
