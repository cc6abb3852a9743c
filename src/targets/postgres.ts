import { JitError } from '../lib/errors.ts'
import { leaseHandle, newId } from '../lib/handle.ts'
import type { Delivery } from '../protocol/delivery.ts'
import { closeAllSql } from './postgres/closing.ts'
import {
  type Address,
  type Admin,
  clientAddress,
  PostgresConfig,
  parsePostgresUrl,
} from './postgres/config.ts'
import { Connection } from './postgres/connection.ts'
import { extendSql } from './postgres/extend.ts'
import { mintSql, rehearsalSql } from './postgres/mint.ts'
import { proxiedCredential } from './postgres/proxied.ts'
import { knownOids, revokeRole } from './postgres/revoke.ts'
import { newPassword, scramVerifier } from './postgres/scram.ts'
import {
  allRoles,
  deadlineQuery,
  type Facts,
  factsQuery,
  handlesQuery,
  readFacts,
} from './postgres/server.ts'
import type {
  Credential,
  LeaseIntent,
  LeaseToRevoke,
  Minted,
  RevocationOutcome,
  Target,
  TargetContext,
  TargetKind,
} from './target.ts'

const VARIABLES = ['PGHOST', 'PGPORT', 'PGUSER', 'PGPASSWORD', 'PGDATABASE', 'PGSSLMODE']

/** What libpq would rather use, or that names another server, user or way to sign in (PostgreSQL manual, 32.15). */
const COMPETING = [
  'PGHOSTADDR',
  'PGSERVICE',
  'PGSERVICEFILE',
  'PGPASSFILE',
  'PGOPTIONS',
  'PGSSLCERT',
  'PGSSLKEY',
  'PGSSLCERTMODE',
  'PGREQUIRESSL',
  'PGREQUIREPEER',
  'PGREQUIREAUTH',
  'PGCHANNELBINDING',
  'PGGSSENCMODE',
  'PGTARGETSESSIONATTRS',
]

/** At a port without a password and without TLS of its own. */
const PROXIED = ['PGPASSWORD', 'PGSSLROOTCERT', 'PGSSLNEGOTIATION', ...COMPETING]

/** How long a rehearsal may take by the server's clock. */
const REHEARSAL_MS = 3_600_000

/** A role per lease at a PostgreSQL server, 15 or later. */
export const postgresKind: TargetKind<PostgresConfig> = {
  type: 'postgres',
  config: PostgresConfig,
  valueNames: ['url', 'host', 'port', 'user', 'password', 'database', 'sslmode'],
  secretNames: ['password'],
  proxied: () => true,
  create: (config, context) => new PostgresTarget(config, context),
}

class PostgresTarget implements Target {
  readonly type = 'postgres'
  readonly revocability = 'hard'
  readonly recoverable = 'by-name'
  readonly name: string
  readonly tasks: ReadonlySet<string>
  readonly variables = VARIABLES
  readonly #config: PostgresConfig
  readonly #admin: Admin
  readonly #connection: Connection
  #facts: Promise<Facts> | undefined

  constructor(config: PostgresConfig, context: TargetContext) {
    this.name = context.name
    this.tasks = new Set(Object.keys(config.tasks))
    this.#config = config
    this.#admin = parsePostgresUrl(
      context.resolveReference(config.admin),
      `target ${context.name}: admin`,
    )
    this.#connection = new Connection(context.name, this.#admin)
  }

  rights(task: string): readonly string[] {
    return this.#config.tasks[task]?.roles ?? []
  }

  /** The cluster's system identifier and the database's OID, after checking the administrator and every task's roles. */
  async identity(signal: AbortSignal): Promise<string> {
    this.#facts = undefined
    return (await this.#readFacts(signal)).identity
  }

  unset(delivery: Delivery): readonly string[] {
    return delivery === 'proxy' ? PROXIED : COMPETING
  }

  async mint(lease: LeaseIntent, signal: AbortSignal): Promise<Minted> {
    const task = this.#config.tasks[lease.grant.task]
    if (!task) throw new JitError('target_refused', `${this.name}: no task '${lease.grant.task}'`)
    const password = newPassword()
    const { handle, mintBy, expiresAt } = lease
    const [facts, verifier, credential] = await Promise.all([
      this.#readFacts(signal),
      scramVerifier(password),
      this.#credential(lease, password),
    ])
    const sql = mintSql({ handle, mintBy, expiresAt, verifier, task }, facts)
    const [row] = await this.#connection.run(sql, signal)
    return { credential, externalId: String(row?.oid) }
  }

  /** Before there is a role: what can't be delivered isn't made. */
  async #credential({ delivery, handle }: LeaseIntent, password: string): Promise<Credential> {
    const address = clientAddress(this.#admin, this.#config.address)
    const login = { user: handle, password }
    return delivery === 'proxy'
      ? {
          ...(await proxiedCredential(address, { ...login, target: this.name })),
          unset: this.unset(delivery),
        }
      : credentialFor(address, login)
  }

  async disconnect(leases: readonly LeaseToRevoke[], signal: AbortSignal): Promise<void> {
    const handles = leases.map(({ handle }) => handle)
    await this.#connection.run(closeAllSql(handles, leases.flatMap(knownOids)), signal)
  }

  async revoke(lease: LeaseToRevoke, signal: AbortSignal): Promise<RevocationOutcome> {
    const facts = await this.#readFacts(signal)
    return revokeRole({ lease, facts, connection: this.#connection, signal })
  }

  async extend(
    lease: Parameters<NonNullable<Target['extend']>>[0],
    until: number,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#connection.run(extendSql(lease, until), signal)
  }

  async *sweep(handlePrefix: string, signal: AbortSignal): AsyncIterable<string> {
    for (const { rolname } of await this.#connection.run(handlesQuery(handlePrefix), signal)) {
      yield String(rolname)
    }
  }

  async deadline(handle: string, signal: AbortSignal) {
    const [row] = await this.#connection.run(deadlineQuery(handle), signal)
    return row ? { at: Number(row.at), passed: row.passed === true } : undefined
  }

  async rehearse(signal: AbortSignal): Promise<void> {
    const facts = await this.#readFacts(signal)
    const verifier = await scramVerifier(newPassword())
    const later = Date.now() + REHEARSAL_MS
    for (const task of Object.values(this.#config.tasks)) {
      const handle = leaseHandle('trial', newId(Date.now()))
      const role = { handle, verifier, mintBy: later, expiresAt: later, task }
      await this.#connection.run(rehearsalSql(role, facts), signal)
    }
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  #readFacts(signal: AbortSignal): Promise<Facts> {
    this.#facts ??= this.#askFacts(signal).catch((error: unknown) => {
      this.#facts = undefined
      throw error
    })
    return this.#facts
  }

  async #askFacts(signal: AbortSignal): Promise<Facts> {
    const rows = await this.#connection.run(factsQuery(allRoles(this.#config.tasks)), signal)
    return readFacts(rows, this.name)
  }
}

function credentialFor(
  { host, port, database, sslmode }: Address,
  { user, password }: { user: string; password: string },
): Credential {
  const authority = `${user}:${password}@${host.includes(':') ? `[${host}]` : host}:${port}`
  const url = `postgres://${authority}/${encodeURIComponent(database)}?sslmode=${sslmode}`
  return {
    values: { url, host, port: String(port), user, password, database, sslmode },
    env: {
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGPASSWORD: password,
      PGDATABASE: database,
      PGSSLMODE: sslmode,
    },
    unset: COMPETING,
  }
}
