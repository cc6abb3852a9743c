import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { inject } from 'vitest'
import { parse, stringify } from 'yaml'
import { DEV_POLICIES } from '../../src/dev/policies.ts'
import { prepareSampleRoles } from '../../src/dev/sample-roles.ts'
import { dropStore, storeIn } from '../broker/harness-store.ts'
import { Home } from '../run/home.ts'
import { Database } from '../servers/database.ts'
import { logIn } from '../servers/log-in.ts'
import { type PostgresServer, startPostgres } from '../servers/postgres.ts'
import { type Books, postgresBooks, type Strays, sqliteBooks, straysOf } from './books.ts'
import { BrokerProcess } from './broker-process.ts'
import { startProvider } from './provider.ts'
import { stopwatch } from './seconds.ts'
import type { StoreKind } from './stores.ts'
import { Wire } from './wire.ts'

/** What the administrator's URL of the target is called in the brokers' environment. */
const ADMIN_URL = 'TARGET_ADMIN_URL'
/** The same, by way of {@link Stage.line}. */
const LINE_URL = 'TARGET_LINE_URL'

export interface StageOptions {
  readonly store: StoreKind
  /** Keys of broker.yaml that take the place of those below. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Where a ledger in a file lies, where that isn't beside the configuration. */
  readonly ledger?: string
  /** Settings of the PostgreSQL that is the target. */
  readonly settings?: Readonly<Record<string, string>>
}

interface StartOptions {
  readonly dieAt?: string
  readonly stopAt?: string
  readonly dieAfter?: number
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Brokers over one store, a network in front of them, a PostgreSQL that they mint at, and people who
 * are signed in: everything real, each broker a process of its own.
 */
export class Stage implements AsyncDisposable {
  readonly store: StoreKind
  /** Where clients find the brokers: through {@link wire}. */
  readonly broker: string
  readonly wire: Wire
  /** Between the brokers and `dev-db`: the other targets are the same server by a way of their own. */
  readonly line: Wire
  /** Between the brokers and a store that is a PostgreSQL. */
  readonly storeLine: Wire
  /** The target, as its administrator sees it. */
  readonly database: Database
  readonly target: PostgresServer
  readonly books: Books
  /** Brokers that were started, in the order of it; the dead ones among them. */
  readonly nodes: BrokerProcess[] = []
  readonly #folder: string
  readonly #undo: AsyncDisposableStack

  private constructor(parts: {
    store: StoreKind
    wire: Wire
    line: Wire
    storeLine: Wire
    target: PostgresServer
    folder: string
    books: Books
    undo: AsyncDisposableStack
  }) {
    this.store = parts.store
    this.wire = parts.wire
    this.line = parts.line
    this.storeLine = parts.storeLine
    this.target = parts.target
    this.#folder = parts.folder
    this.#undo = parts.undo
    this.broker = `http://127.0.0.1:${parts.wire.port}`
    this.database = parts.undo.use(new Database(parts.target.url()))
    this.books = parts.books
  }

  /** Everything but brokers: {@link start} them. */
  static async set({ store, config = {}, settings = {}, ledger }: StageOptions): Promise<Stage> {
    await using undo = new AsyncDisposableStack()
    const folder = mkdtempSync(join(tmpdir(), 'jit-faults-'))
    undo.defer(() => rmSync(folder, { recursive: true, force: true }))
    const target = undo.use(await startPostgres({ settings: { fsync: 'off', ...settings } }))
    await prepareSampleRoles(target.url())
    const { issuer } = undo.use(await startProvider())
    const wire = undo.use(await Wire.start())
    const line = undo.use(await Wire.start())
    line.to([target.port])
    const storeLine = undo.use(await Wire.start())
    const { books, keys } = await ledgerAt({ store, folder, path: ledger, line: storeLine })
    undo.defer(() => (store === 'postgres' ? dropStore(folder) : undefined))
    undo.use(books)
    furnish(folder, { ...brokerYaml(wire.port, issuer), ...keys, ...config })
    return new Stage({ store, wire, line, storeLine, target, folder, books, undo: undo.move() })
  }

  /** Starts a broker, and sends clients to all that live. */
  async start({ env: more = {}, ...at }: StartOptions = {}): Promise<BrokerProcess> {
    const config = join(this.#folder, 'broker.yaml')
    const url = new URL(this.target.url())
    url.port = String(this.line.port)
    const env = { ...more, [ADMIN_URL]: this.target.url(), [LINE_URL]: url.href }
    const node = await BrokerProcess.start({ config, env, ...at })
    this.nodes.push(node)
    this.spread()
    return node
  }

  /** Sends clients to these nodes, or to all that live. */
  spread(nodes: readonly BrokerProcess[] = this.nodes.filter(({ alive }) => alive)): void {
    this.wire.to(nodes.map(({ port }) => port))
  }

  /** A person with a home of their own, signed in at the brokers: `dev`, `lead` or `admin`. */
  async person(login: string): Promise<Home> {
    const home = this.#undo.use(new Home())
    await logIn(home, { broker: this.broker, login })
    return home
  }

  /** What must never be. */
  strays(): Promise<Strays> {
    return straysOf(this.database, this.books)
  }

  /**
   * Waits until no role is left at the target.
   * @param what.of of these alone; `but`: these may stay
   * @returns seconds that took @throws Error with what the ledger says of those that stay
   */
  async swept(what: {
    of?: readonly string[]
    but?: readonly string[]
    within: number
  }): Promise<number> {
    const { but = [], within } = what
    const seconds = stopwatch()
    for (;;) {
      const all = await this.database.leases()
      const { of = all } = what
      const left = all.filter((role) => of.includes(role) && !but.includes(role))
      if (left.length === 0) return seconds()
      if (seconds() > within) throw new Error(await this.#described(left))
      await wait(25)
    }
  }

  async #described(roles: readonly string[]): Promise<string> {
    const rows = await this.books.query<{ handle: string }>(
      `SELECT l.handle, l.state, l.confirmed, l.attempts, l.problem, g.id, g.state AS "grant",
         g.received, g.ended_by FROM leases l JOIN grants g ON g.id = l.grant_id`,
    )
    const told = rows.filter(({ handle }) => roles.includes(handle))
    return `roles left: ${roles.join(', ')}\n${JSON.stringify(told, null, 1)}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) if (node.alive) await node.kill()
    await this.#undo.disposeAsync()
  }
}

interface Place {
  readonly store: StoreKind
  readonly folder: string
  readonly path: string | undefined
  readonly line: Wire
}

/** Where the ledger lies: what broker.yaml says of it, and how it is read past the brokers. */
async function ledgerAt({ store, folder, path = join(folder, 'ledger.db'), line }: Place) {
  if (store === 'sqlite') return { books: sqliteBooks(path), keys: { store: `sqlite:${path}` } }
  const keys = parse(await storeIn(folder, line.port)) as object
  const url = new URL(readFileSync(join(folder, 'store.url'), 'utf8'))
  url.port = new URL(inject('storeServer') ?? '').port
  line.to([Number(url.port)])
  return { books: postgresBooks(url.href), keys }
}

function brokerYaml(port: number, issuer: string) {
  const url = `http://127.0.0.1:${port}`
  const database = (environment: string, admin = ADMIN_URL) => ({
    environment,
    type: 'postgres',
    sensitivity: 'confidential',
    admin: `env:${admin}`,
    tasks: {
      plan: { roles: ['readonly'] },
      deploy: { roles: ['readonly', 'migrator'], owner: 'migrator' },
    },
    env: { PG_CONN_STR: '{{url}}' },
  })
  return {
    url,
    listen: '127.0.0.1:0',
    policies: './policies',
    identity: [{ issuer, clients: { 'jit-cli': 'human', 'jit-agent': 'agent' } }],
    groups: ['jit-admins', 'platform-oncall'],
    approvers: ['platform-oncall'],
    tasks: { plan: {}, deploy: {}, migrate: {} },
    environments: {
      dev: { tier: 'development' },
      staging: { tier: 'staging' },
      prod: { tier: 'production' },
    },
    targets: {
      'dev-db': database('dev', LINE_URL),
      'staging-db': database('staging'),
      'prod-db': database('prod'),
      'dev-api': {
        environment: 'dev',
        type: 'token',
        sensitivity: 'internal',
        audience: 'https://api.dev.example',
        tasks: { plan: {}, deploy: {} },
      },
    },
    // All come from one address, and some as one person by the thousands.
    limits: {
      grants_per_principal: 10_000,
      requests_per_principal: 1_000_000,
      requests_per_address: 1_000_000,
      connections_per_address: 5000,
    },
  }
}

function furnish(folder: string, config: object): void {
  mkdirSync(join(folder, 'policies'))
  writeFileSync(join(folder, 'broker.yaml'), stringify(config), { mode: 0o600 })
  for (const { name, content } of DEV_POLICIES) {
    writeFileSync(join(folder, 'policies', name), content)
  }
}
