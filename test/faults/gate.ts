import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import { newSealKey } from '../../src/broker/seal.ts'
import { TestClient, TestLifeline } from '../broker/harness.ts'
import { FakeProvider } from '../broker/provider.ts'
import { freePort } from '../servers/free-port.ts'
import { startPostgres } from '../servers/postgres.ts'
import { BrokerProcess } from './broker-process.ts'
import { listening, portOf } from './port.ts'
import type { StoreKind } from './stores.ts'

/** Where floods come from: another address than everybody else's. */
export const FLOODER = '127.0.0.2'

export interface GateOptions {
  readonly store?: StoreKind
  /** Those of broker.yaml that are to be others than usual. */
  readonly limits?: Readonly<Record<string, number>>
  /** More of the broker's environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** A broker as a process of its own, without a network in front: what comes from where can be told apart. */
export class Gate implements AsyncDisposable {
  readonly url: string
  readonly node: BrokerProcess
  readonly #provider: FakeProvider
  readonly #undo: AsyncDisposableStack

  private constructor(parts: {
    url: string
    node: BrokerProcess
    provider: FakeProvider
    undo: AsyncDisposableStack
  }) {
    this.url = parts.url
    this.node = parts.node
    this.#provider = parts.provider
    this.#undo = parts.undo
  }

  static async open({ store = 'sqlite', limits = {}, env = {} }: GateOptions = {}): Promise<Gate> {
    await using undo = new AsyncDisposableStack()
    const folder = mkdtempSync(join(tmpdir(), 'jit-gate-'))
    undo.defer(() => rmSync(folder, { recursive: true, force: true }))
    const provider = await served(undo)
    const url = `http://127.0.0.1:${await freePort()}`
    const more: Record<string, string> = { ...env }
    if (store === 'postgres') {
      const server = undo.use(await startPostgres({ settings: { fsync: 'off' } }))
      more.STORE_URL = server.url()
    }
    furnish(folder, { url, issuer: provider.issuer, limits, store })
    const config = join(folder, 'broker.yaml')
    const node = undo.use(await BrokerProcess.start({ config, env: more }))
    return new Gate({ url, node, provider, undo: undo.move() })
  }

  /** A principal with a session of its own. */
  async client(sub: string): Promise<TestClient> {
    const client = new TestClient(this.url, Date.now)
    await client.take(await client.exchange(await this.idToken(sub)))
    return client
  }

  idToken(sub: string): Promise<string> {
    const iat = Math.floor(Date.now() / 1000)
    const groups = sub === 'admin' ? ['admins'] : []
    const jti = crypto.randomUUID()
    return this.#provider.sign({ sub, groups, iat, exp: iat + 300, auth_time: iat - 10, jti })
  }

  /** A lifeline from the flooder's address. @throws Error with the status when it is refused */
  async line(client: TestClient, headers = client.headers('GET', '/v1/lifeline')) {
    const socket = new WebSocket(`${this.url.replace('http', 'ws')}/v1/lifeline`, {
      ...{ headers, localAddress: FLOODER },
    })
    const line = new TestLifeline(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve)
      socket.on('error', reject)
    })
    return line
  }

  /** A bare connection from the flooder's address. */
  async connect(): Promise<Socket> {
    const options = { port: Number(new URL(this.url).port), host: '127.0.0.1' }
    const socket = connect({ ...options, localAddress: FLOODER })
    socket.on('error', () => {})
    await once(socket, 'connect')
    return socket
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#undo.disposeAsync()
  }
}

/** An identity provider of which brokers need the keys alone. */
async function served(undo: AsyncDisposableStack): Promise<FakeProvider> {
  const server = createServer()
  await listening(server)
  undo.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `http://127.0.0.1:${portOf(server)}`
  const provider = new FakeProvider(issuer)
  await provider.rotate('k1')
  server.on('request', async (request, response) => {
    const answer = provider.documents.get(`${issuer}${request.url}`)?.()
    response.end((await answer?.text()) ?? '')
  })
  return provider
}

function furnish(
  folder: string,
  {
    url,
    issuer,
    limits,
    store,
  }: { url: string; issuer: string; limits: Record<string, number>; store: StoreKind },
): void {
  const all = { grants_per_principal: 1000, ...limits }
  writeFileSync(join(folder, 'seal.key'), newSealKey(), { mode: 0o600 })
  writeFileSync(
    join(folder, 'all.cedar'),
    `@id("all") permit (principal is Human, action == Action::"deploy", resource);
     @id("admins") permit (principal in Group::"admins", action == Action::"view", resource);`,
  )
  writeFileSync(
    join(folder, 'broker.yaml'),
    `url: ${url}
listen: ${new URL(url).host}
store: ${store === 'sqlite' ? 'sqlite:ledger.db' : 'env:STORE_URL'}
seal_key: file:seal.key
policies: .
identity: [{ issuer: '${issuer}', clients: { jit-cli: human } }]
groups: [admins]
tasks: { deploy: {} }
environments: { dev: { tier: development } }
lifeline: { grace: 2s }
limits: ${JSON.stringify(all)}
targets:
  shop: { environment: dev, type: token, sensitivity: internal, audience: 'https://shop.test', tasks: { deploy: {} } }
`,
  )
}
