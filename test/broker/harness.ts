import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { WebSocket } from 'ws'
import { createProof, newSessionKey, type SessionKey, thumbprintOf } from '../../src/auth/proof.ts'
import { type Broker, startBroker } from '../../src/broker/broker.ts'
import type { BrokerConfig } from '../../src/broker/config/config.ts'
import { parseConfig } from '../../src/broker/config/load.ts'
import type { Failpoints } from '../../src/broker/failpoints.ts'
import { type Operations, openOperations } from '../../src/broker/operations.ts'
import { bind, portOf } from '../../src/broker/server.ts'
import { JitError } from '../../src/lib/errors.ts'
import type { ServerMessage } from '../../src/protocol/lifeline.ts'
import {
  ACCESS_TOKEN_TYPE,
  ID_TOKEN_TYPE,
  TOKEN_EXCHANGE_GRANT,
  type TokenResponse,
} from '../../src/protocol/oauth.ts'
import { AUTHORIZATION_TYPE, type AuthorizationDetails } from '../../src/protocol/request.ts'
import type {
  LeaseIntent,
  LeaseToRevoke,
  Minted,
  RevocationOutcome,
  Target,
  TargetKind,
} from '../../src/targets/target.ts'
import { tokenKind } from '../../src/targets/token.ts'
import { dropStore, storeAt, storeIn } from './harness-store.ts'
import { FakeProvider } from './provider.ts'

/** A target whose far side is in memory, and does as a test says. */
export class FakeTarget implements Target {
  readonly type = 'fake'
  readonly revocability = 'hard'
  readonly recoverable = 'by-name'
  readonly tasks = new Set(['deploy', 'plan'])
  readonly variables = ['FAKE_SECRET']
  readonly name: string
  /** Handles that exist there. */
  readonly handles = new Set<string>()
  readonly revoked: string[] = []
  where = 'system-1'
  now: () => number = Date.now
  /** Called before it says what it is. */
  beforeIdentity: () => Promise<void> = async () => {}
  /** Called before a credential is made. */
  beforeMint: (lease: LeaseIntent) => Promise<void> = async () => {}
  /** Called before one is undone. */
  beforeRevoke: (lease: LeaseToRevoke) => Promise<void> = async () => {}
  afterMint: (lease: LeaseIntent) => Promise<void> = async () => {}
  /** Called before a deadline is moved. */
  beforeExtend: (handle: string, until: number) => Promise<void> = async () => {}
  /** Deadlines that were moved, by handle. */
  readonly deadlines = new Map<string, number>()

  constructor(name: string) {
    this.name = name
  }

  unset(): readonly string[] {
    return ['FAKE_PROFILE']
  }

  rights(task: string): readonly string[] {
    return [`fake-${task}`]
  }

  async identity(): Promise<string> {
    await this.beforeIdentity()
    return this.where
  }

  async mint(lease: LeaseIntent): Promise<Minted> {
    await this.beforeMint(lease)
    this.handles.add(lease.handle)
    await this.afterMint(lease)
    const secret = `secret-of-${lease.handle}`
    const unset = this.unset()
    const credential =
      lease.delivery === 'env'
        ? { values: { secret }, env: { FAKE_SECRET: secret }, unset }
        : {
            values: {},
            env: { FAKE_SECRET: '{{token}}' },
            upstream: { kind: 'http', url: 'https://fake.test', token: secret } as const,
            unset,
          }
    return { credential, undo: `undo-${lease.handle}` }
  }

  async revoke(lease: LeaseToRevoke): Promise<RevocationOutcome> {
    await this.beforeRevoke(lease)
    this.revoked.push(lease.handle)
    const there = this.handles.delete(lease.handle)
    return there ? { kind: 'revoked' } : { kind: 'revoked', detail: 'was gone already' }
  }

  async extend({ handle }: { handle: string }, until: number): Promise<void> {
    await this.beforeExtend(handle, until)
    if (!this.handles.has(handle)) throw new JitError('target_refused', `${this.name}: it is gone`)
    this.deadlines.set(handle, until)
  }

  async deadline(handle: string) {
    const at = this.deadlines.get(handle)
    return at === undefined ? undefined : { at, passed: at <= this.now() }
  }

  async *sweep(prefix: string): AsyncIterable<string> {
    for (const handle of this.handles) if (handle.startsWith(prefix)) yield handle
  }

  async close(): Promise<void> {}
}

const POLICIES = `
@id("everyone") permit (principal is Human, action, resource in Environment::"dev");
@id("no-production") forbid (principal, action, resource) when { resource.tier == "production" };
`
const BUILT_IN = `
@id("admins") permit (principal in Group::"admins",
  action in [Action::"view", Action::"revoke", Action::"offboard", Action::"audit"], resource);
`

export interface HarnessOptions {
  readonly directory?: string
  /** Of an earlier one, where its clients are to come back. */
  readonly port?: number
  /** How clients reach it, where that isn't its own port: several nodes have one URL. */
  readonly url?: string
  /** Whether its store passes nothing on of what other nodes commit. */
  readonly deaf?: boolean
  /** Of a pooler between it and its store. */
  readonly pooler?: number
  readonly limits?: string
  readonly failpoint?: Failpoints
  readonly now?: () => number
  /** Beside `SECRET`. */
  readonly env?: Readonly<Record<string, string>>
  readonly targets?: Record<string, FakeTarget>
  /** Instead of those that permit all in dev. */
  readonly policies?: string
  /** More of `targets:`, an entry a line. */
  readonly more?: readonly string[]
  /** `lifeline:` */
  readonly lifeline?: string
  /** `tasks:` */
  readonly tasks?: string
  /** More of `identity:`, an entry a line. */
  readonly identity?: readonly string[]
  /** The issuers behind these. */
  readonly issuers?: readonly FakeProvider[]
}

/** A broker in this process, with an OpenID provider and targets that do as a test says. */
export class Harness implements AsyncDisposable {
  readonly broker: Broker
  readonly config: BrokerConfig
  readonly url: string
  readonly directory: string
  readonly provider: FakeProvider
  readonly log: string[]
  readonly targets: Record<string, FakeTarget>
  readonly #now: () => number

  private constructor(parts: {
    broker: Broker
    config: BrokerConfig
    url: string
    directory: string
    provider: FakeProvider
    log: string[]
    targets: Record<string, FakeTarget>
    now: () => number
  }) {
    this.broker = parts.broker
    this.config = parts.config
    this.url = parts.url
    this.directory = parts.directory
    this.provider = parts.provider
    this.log = parts.log
    this.targets = parts.targets
    this.#now = parts.now
  }

  static async start(options: HarnessOptions = {}): Promise<Harness> {
    const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'jit-broker-'))
    const provider = new FakeProvider('https://idp.test')
    await provider.rotate('k1')
    const server = await bind({ listen: { host: '127.0.0.1', port: options.port ?? 0 } })
    const url = options.url ?? `http://127.0.0.1:${portOf(server)}`
    const targets = { ...(options.targets ?? { shop: new FakeTarget('shop') }) }
    const kind: TargetKind<unknown> = {
      type: 'fake',
      config: v.strictObject({}),
      valueNames: ['secret'],
      proxied: () => true,
      secretNames: ['secret'],
      create: (_, { name }) => {
        targets[name] ??= new FakeTarget(name)
        return targets[name]
      },
    }
    const store = await storeIn(directory, options.pooler)
    const config = parseConfig({
      text: brokerYaml(url, { ...options, targets, store }),
      file: 'broker.yaml',
      directory,
      kinds: [kind, tokenKind],
    })
    writeFileSync(join(directory, 'tasks.cedar'), options.policies ?? POLICIES)
    writeFileSync(join(directory, 'built-in.cedar'), BUILT_IN)
    const lines: string[] = []
    const record = (message: string, detail?: object) =>
      void lines.push(`${message} ${JSON.stringify(detail)}`)
    const now = options.now ?? Date.now
    const log = { debug: () => {}, info: record, warn: record, error: record }
    const broker = await startBroker({
      config,
      ...(await storeAt(directory, { ...options, log })),
      env: { SECRET: 'introspection-secret', ...options.env },
      clock: { now, monotonic: () => performance.now() },
      log,
      failpoint: options.failpoint ?? (() => {}),
      server,
      fetch: fetchFrom([provider, ...(options.issuers ?? [])]),
    })
    return new Harness({ broker, url, directory, provider, log: lines, targets, config, now })
  }

  get shop(): FakeTarget {
    const { shop } = this.targets
    if (!shop) throw new Error('no shop')
    return shop
  }

  /** An identity token, valid now. */
  idToken(claims: Record<string, unknown> = {}): Promise<string> {
    const iat = Math.floor(this.#now() / 1000)
    const jti = crypto.randomUUID()
    return this.provider.sign({ iat, exp: iat + 300, auth_time: iat - 10, jti, ...claims })
  }

  /** Does what an operator does beside the broker. */
  async operate<T>(work: (operations: Operations) => Promise<T>): Promise<T> {
    const clock = { now: this.#now, monotonic: () => performance.now() }
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const { config, directory } = this
    const store = await storeAt(directory, { now: this.#now, log })
    const operations = await openOperations({ config, ...store, env: {}, clock, log })
    try {
      return await work(operations)
    } finally {
      await operations.close()
    }
  }

  /** Signs a principal in with a key of its own. */
  async client(claims: Record<string, unknown> = {}): Promise<TestClient> {
    const client = new TestClient(this.url, this.#now)
    await client.take(await client.exchange(await this.idToken(claims)))
    return client
  }

  /** Signs a copilot in as itself. */
  async agent(name: string, claims: Record<string, unknown> = {}): Promise<TestClient> {
    const client = new TestClient(this.url, this.#now)
    const idToken = await this.idToken({ aud: 'jit-agent', ...claims })
    await client.take(await client.exchange(idToken, { agent_name: name }))
    return client
  }

  /** Hands a person's session on to a copilot, under a key of its own. */
  async delegated(
    person: TestClient,
    delegation: Record<string, unknown> = {},
  ): Promise<TestClient> {
    const client = new TestClient(this.url, this.#now)
    await client.take(await client.delegatedBy(person, { agent: 'claude', ...delegation }))
    return client
  }

  /** Stops it without ending anything, as a restart does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.broker.stop()
    await this.remove()
  }

  /** Removes its files, and its ledger with them. */
  async remove(): Promise<void> {
    await dropStore(this.directory)
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Whichever of them has the document; on this machine, whoever listens there. */
function fetchFrom(issuers: readonly FakeProvider[]): typeof fetch {
  return (input, init) => {
    const url = String(input)
    if (url.startsWith('http://127.0.0.1:')) return fetch(input, init)
    const one = issuers.find((issuer) => issuer.documents.has(url)) ?? issuers[0]
    return one ? one.fetch(input) : Promise.reject(new TypeError('fetch failed'))
  }
}

function brokerYaml(
  url: string,
  {
    limits = '',
    targets = {},
    lifeline = 'grace: 1s, suspend_grace: 20s',
    identity = [],
    more = [],
    tasks = 'plan: {}, deploy: {}',
    store,
  }: HarnessOptions & { store: string },
): string {
  const inDev = Object.keys(targets).filter((name) => name !== 'vault')
  const fakes = inDev.map(
    (name) =>
      `  ${name}: { environment: dev, type: fake, sensitivity: internal, ttl: { max: 2h } }`,
  )
  return `
url: ${url}
${store}
policies: .
identity:
  - { issuer: https://idp.test, clients: { jit-cli: human, jit-agent: agent } }
${identity.map((entry) => `  - ${entry}\n`).join('')}groups: [admins, oncall, dba]
approvers: [oncall, dba]
acr: ['urn:mfa']
tasks: { ${tasks} }
environments: { dev: { tier: development }, prod: { tier: production } }
lifeline: { ${lifeline} }
labels: { model: string }
${limits}
targets:
${fakes.join('\n')}
  api:
    { environment: dev, type: token, sensitivity: internal, audience: https://api.test,
      tasks: { plan: { scope: read } }, introspection_secret: env:SECRET }
  open:
    { environment: dev, type: token, sensitivity: internal, audience: https://open.test, tasks: { plan: {} } }
  vault:
    { environment: prod, type: fake, sensitivity: restricted }
${more.map((entry) => `  ${entry}\n`).join('')}`
}

/** One session's side of the wire, free to misbehave. */
export class TestClient {
  readonly key: SessionKey = newSessionKey()
  accessToken = ''
  readonly #url: string
  readonly #now: () => number

  constructor(url: string, now: () => number) {
    this.#url = url
    this.#now = now
  }

  proof(
    method: string,
    path: string,
    options: { token?: boolean; key?: SessionKey; accessToken?: string; delegation?: unknown } = {},
  ): string {
    const { key = this.key, accessToken = this.accessToken, delegation } = options
    return createProof(key, {
      method,
      url: new URL(path, this.#url),
      now: this.#now(),
      ...(options.token === false ? {} : { accessToken }),
      ...(delegation === undefined ? {} : { claims: { delegation } }),
    })
  }

  exchange(token: string, more: Record<string, string> = {}) {
    const proof = this.proof('POST', '/oauth/token', { token: false })
    return this.token(proof, { subject_token: token, subject_token_type: ID_TOKEN_TYPE, ...more })
  }

  /** Keeps the token of an answer. @throws Error with the answer when it is a refusal */
  async take(answer: Response): Promise<void> {
    if (answer.status !== 200) throw new Error(`exchange: ${await answer.text()}`)
    this.accessToken = ((await answer.json()) as TokenResponse).access_token
  }

  /** Asks for a session of this key's own from `person`'s; both proofs as they should be. */
  delegatedBy(person: TestClient, delegation: Record<string, unknown>) {
    const subjectProof = person.proof('POST', '/oauth/token', {
      delegation: { jkt: thumbprintOf(this.key), ...delegation },
    })
    return this.delegatedWith(person.accessToken, subjectProof)
  }

  delegatedWith(token: string, subjectProof: string, options: { proof?: string } = {}) {
    const proof = options.proof ?? this.proof('POST', '/oauth/token', { accessToken: token })
    return this.token(proof, {
      subject_token: token,
      subject_token_type: ACCESS_TOKEN_TYPE,
      subject_proof: subjectProof,
    })
  }

  /** Asks for a new token with the last one, as a delegated session does. */
  renew() {
    const form = { subject_token: this.accessToken, subject_token_type: ACCESS_TOKEN_TYPE }
    return this.token(this.proof('POST', '/oauth/token'), form)
  }

  token(proof: string, form: Record<string, string>) {
    return fetch(new URL('/oauth/token', this.#url), {
      method: 'POST',
      headers: { DPoP: proof },
      body: new URLSearchParams({ grant_type: TOKEN_EXCHANGE_GRANT, ...form }),
    })
  }

  /** Ends the session (RFC 7009). */
  logout() {
    return fetch(new URL('/oauth/revoke', this.#url), {
      method: 'POST',
      headers: { DPoP: this.proof('POST', '/oauth/revoke') },
      body: new URLSearchParams({ token: this.accessToken }),
    })
  }

  headers(method: string, path: string): Record<string, string> {
    return { Authorization: `DPoP ${this.accessToken}`, DPoP: this.proof(method, path) }
  }

  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  async call(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }> {
    const answer = await fetch(new URL(path, this.#url), {
      method,
      headers: { ...this.headers(method, path), 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  /** Opens a lifeline. @throws Error with the status when it is refused */
  async connect(headers = this.headers('GET', '/v1/lifeline')): Promise<TestLifeline> {
    const socket = new WebSocket(`${this.#url.replace('http', 'ws')}/v1/lifeline`, { headers })
    const line = new TestLifeline(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    return line
  }

  /** Asks on a new lifeline and says that the credentials arrived. */
  async grant(details: Partial<AuthorizationDetails> = {}): Promise<GrantedLifeline> {
    const line = await this.connect()
    line.send({ type: 'request', key: crypto.randomUUID(), details: request(details) })
    const granted = await line.next('granted')
    line.send({ type: 'received', grant: granted.grant })
    return { line, granted }
  }
}

export interface GrantedLifeline {
  readonly line: TestLifeline
  readonly granted: Extract<ServerMessage, { type: 'granted' }>
}

/** A lifeline whose messages are read one by one. */
export class TestLifeline {
  readonly socket: WebSocket
  readonly closed: Promise<number>
  readonly #messages: ServerMessage[] = []
  #wake: () => void = () => {}
  #open = true

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data) => {
      this.#messages.push(JSON.parse(String(data)))
      this.#wake()
    })
    this.closed = new Promise((resolve) => {
      socket.on('close', (code) => {
        this.#open = false
        this.#wake()
        resolve(code)
      })
    })
  }

  send(message: unknown): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** The next message of a type; those before it are passed over. @throws Error when it closes first */
  async next<T extends ServerMessage['type']>(
    type: T,
  ): Promise<Extract<ServerMessage, { type: T }>> {
    for (;;) {
      const message = this.#messages.shift()
      if (message?.type === type) return message as Extract<ServerMessage, { type: T }>
      if (message?.type === 'problem') throw new Error(JSON.stringify(message.problem))
      if (message) continue
      if (!this.#open) throw new Error('closed')
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Cut off, as a lost network does. */
  cut(): void {
    this.socket.terminate()
  }
}

/** A request for the fake target, with what a test wants otherwise. */
export function request(details: Partial<AuthorizationDetails> = {}): AuthorizationDetails {
  return {
    type: AUTHORIZATION_TYPE,
    environment: 'dev',
    task: 'deploy',
    targets: ['shop'],
    reason: '',
    break_glass: false,
    ticket: '',
    labels: {},
    claimed: { repository: 'github.com/acme/shop', branch: 'main', commit: '', dirty: false },
    command: { argv: ['true'], directory: '/', executable: '/bin/true' },
    ...details,
  }
}
