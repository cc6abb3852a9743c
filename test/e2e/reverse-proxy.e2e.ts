import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { absent } from '../absent.ts'
import { ended, Home, JIT } from '../run/home.ts'
import { makeCertificate } from '../servers/certificate.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { freePort } from '../servers/free-port.ts'
import { logIn } from '../servers/log-in.ts'

const EXAMPLE = resolve(import.meta.dirname, '../../examples/proxy/nginx.conf')

const directory = mkdtempSync(join(tmpdir(), 'jit-proxy-'))
const at = (name: string) => join(directory, name)
let provider: ControlPlane
let broker: ChildProcess
let nginx: ChildProcess
let home: Home
let url: string

/** The example as it is, with the names and ports of this test. */
function writeProxy({ front, back }: { front: number; back: number }): void {
  const site = readFileSync(EXAMPLE, 'utf8')
    .replace('listen 443', `listen 127.0.0.1:${front}`)
    .replace('127.0.0.1:7420', `127.0.0.1:${back}`)
    .replaceAll('jit.acme.dev', 'localhost')
    .replace('/etc/nginx/tls/jit.crt', at('cert.pem'))
    .replace('/etc/nginx/tls/jit.key', at('key.pem'))
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const user = userInfo().uid === 0 ? 'user root;\n' : ''
  writeFileSync(
    at('nginx.conf'),
    `${user}daemon off;
pid ${at('nginx.pid')};
error_log stderr warn;
worker_processes 1;
worker_shutdown_timeout 2s;
events {}
http {
${folders.map((name) => `  ${name}_temp_path ${at(name)};`).join('\n')}
${site}
}
`,
  )
}

function writeBroker(back: number): void {
  writeFileSync(at('all.cedar'), '@id("all") permit (principal is Human, action, resource);')
  writeFileSync(
    at('broker.yaml'),
    `url: ${url}
listen: 127.0.0.1:${back}
store: sqlite:ledger.db
trusted_proxies: [127.0.0.1]
lifeline: { grace: 4s }
policies: .
identity: [{ issuer: ${provider.issuer}, clients: { jit-cli: human } }]
tasks: { plan: {} }
environments: { dev: { tier: development } }
targets:
  api: { environment: dev, type: token, sensitivity: internal, audience: https://api.test, tasks: { plan: {} } }
`,
  )
}

async function startBroker(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [JIT, 'broker', '--config', at('broker.yaml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  for await (const line of createInterface({ input: child.stderr })) {
    if (line.includes('serving')) break
    throw new Error(line)
  }
  child.stderr.resume()
  return child
}

async function startNginx(): Promise<ChildProcess> {
  const child = spawn('nginx', ['-c', at('nginx.conf'), '-e', 'stderr'], { stdio: 'ignore' })
  for (const deadline = performance.now() + 10_000; !answers(); await wait(50)) {
    if (performance.now() > deadline) throw new Error('nginx does not answer')
  }
  return child
}

/** Whether the broker answers through the proxy; curl, because this process trusts no new authority. */
const answers = () => {
  try {
    execFileSync('curl', ['-fsS', '--cacert', at('cert.pem'), `${url}/healthz`], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}

async function stop(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  await gone
}

const EXEC = ['exec', '--env', 'dev', '--task', 'plan', '--']

// CI has it.
describe.skipIf(absent('nginx', 'openssl', 'curl'))(
  'behind nginx, as in the example (needs nginx)',
  () => {
    beforeAll(async () => {
      makeCertificate(directory)
      provider = await ControlPlane.start()
      const ports = { front: await freePort(), back: await freePort() }
      url = `https://localhost:${ports.front}`
      writeBroker(ports.back)
      writeProxy(ports)
      broker = await startBroker()
      nginx = await startNginx()
      home = new Home()
      home.env.NODE_EXTRA_CA_CERTS = at('cert.pem')
      await logIn(home, { broker: url, login: 'dev', flags: ['--yes'] })
    })

    afterAll(async () => {
      await stop(nginx)
      await stop(broker)
      await provider.stop()
      home[Symbol.dispose]()
      rmSync(directory, { recursive: true, force: true })
    })

    /** A token that can't be revoked is `revoking` until it expires. */
    const active = async (): Promise<string[]> => {
      const { stdout } = await home.run(['grants', '--json'])
      const grants = JSON.parse(stdout).grants as { id: string; state: string }[]
      return grants.filter(({ state }) => state === 'active').map(({ id }) => id)
    }

    test('a lifeline goes through, and through a reload of the proxy, which cuts it: no command is stopped', async () => {
      const child = `process.stdout.write('up'); process.stdin.resume()`
      const jit = home.start([...EXEC, process.execPath, '-e', child])
      await new Promise((resolve) => jit.stdout?.once('data', resolve))
      const held = await active()
      expect(held).toHaveLength(1)
      nginx.kill('SIGHUP')
      // Cut off by the old worker after 2 s; and past the grace, had it not resumed.
      await wait(7500)
      expect(await active()).toEqual(held)
      const outcome = ended(jit)
      jit.stdin?.end()
      expect(await outcome).toMatchObject({ code: 0 })
      expect(await active()).toEqual([])
    })

    test('and through a restart of the broker behind it', async () => {
      const child = `process.stdout.write('up'); process.stdin.resume()`
      const jit = home.start([...EXEC, process.execPath, '-e', child])
      await new Promise((resolve) => jit.stdout?.once('data', resolve))
      const held = await active()
      expect(held).toHaveLength(1)
      await stop(broker)
      broker = await startBroker()
      await expect.poll(active).toEqual(held)
      const outcome = ended(jit)
      jit.stdin?.end()
      expect(await outcome).toMatchObject({ code: 0 })
    })

    test('a client that is killed is noticed at once, though the proxy is between', async () => {
      const child = `process.stdout.write('up'); process.stdin.resume()`
      const jit = home.start([...EXEC, process.execPath, '-e', child])
      await new Promise((resolve) => jit.stdout?.once('data', resolve))
      jit.kill('SIGKILL')
      await expect.poll(active, { timeout: 20_000, interval: 500 }).toEqual([])
    })
  },
)
