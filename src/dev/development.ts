import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { type Broker, startBroker } from '../broker/broker.ts'
import { loadConfig } from '../broker/config/load.ts'
import type { Log } from '../broker/log.ts'
import { bind, closeServer, portOf } from '../broker/server.ts'
import type { Clock } from '../lib/clock.ts'
import { targetKinds } from '../targets/kinds.ts'
import { DEV_POLICIES } from './policies.ts'
import { createProvider } from './provider.ts'
import { DEVELOPMENT_CLIENTS, STRONGER } from './provider-interactions.ts'

const HOST = '127.0.0.1'
const TIERS = { dev: 'development', staging: 'staging', prod: 'production' } as const
const TASKS = ['plan', 'deploy', 'migrate'] as const
/** The one environment variable that `broker.yaml` refers to; it is set for the broker alone. */
const ADMIN_URL = 'JIT_DEV_POSTGRES_URL'
const DRAIN_MS = 10_000

export interface DevelopmentOptions {
  /** 0: the system chooses. */
  readonly port: number
  /** What survives a restart; absent: a temporary directory, gone at the end. */
  readonly data: string | undefined
  /** Admin URL of a PostgreSQL; with it come the targets `dev-db` and `prod-db`. */
  readonly postgres: string | undefined
  readonly clock: Clock
  readonly log: Log
  /** Of the process: where traces go stands there. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** A broker and an OIDC provider on one loopback port. */
export interface Development {
  readonly broker: string
  readonly issuer: string
  reload(): Promise<void>
  /** Without a data directory, every grant is ended first: nobody could later. */
  stop(): Promise<void>
}

function apiTarget(environment: string) {
  return {
    environment,
    type: 'token',
    sensitivity: 'internal',
    audience: `https://api.${environment}.example`,
    tasks: {
      plan: { scope: 'read' },
      deploy: { scope: 'read write' },
      migrate: { scope: 'write' },
    },
    introspection_secret: 'file:introspection.secret',
  }
}

function databaseTarget(environment: string) {
  return {
    environment,
    type: 'postgres',
    sensitivity: 'confidential',
    admin: `env:${ADMIN_URL}`,
    tasks: {
      plan: { roles: ['readonly'] },
      deploy: { roles: ['readonly', 'migrator'], owner: 'migrator' },
      migrate: { roles: ['readonly', 'migrator'], owner: 'migrator' },
    },
    env: { PG_CONN_STR: '{{url}}', DATABASE_URL: '{{url}}' },
  }
}

function brokerYaml(url: string, { postgres }: DevelopmentOptions): string {
  const environments = Object.keys(TIERS)
  const databases = postgres === undefined ? [] : ['dev', 'prod']
  return stringify({
    url,
    listen: `${HOST}:${new URL(url).port}`,
    store: 'sqlite:ledger.db',
    policies: './policies',
    identity: [
      {
        issuer: `${url}/idp`,
        clients: { [DEVELOPMENT_CLIENTS.human]: 'human', [DEVELOPMENT_CLIENTS.agent]: 'agent' },
      },
    ],
    groups: ['jit-admins', 'platform-oncall'],
    approvers: ['platform-oncall'],
    acr: [STRONGER],
    tasks: Object.fromEntries(
      // A migration that is cut in half is worse than one that ends in the wrong place.
      TASKS.map((task) => [task, task === 'migrate' ? { on_context_change: 'renewal' } : {}]),
    ),
    environments: Object.fromEntries(
      Object.entries(TIERS).map(([environment, tier]) => [environment, { tier }]),
    ),
    targets: Object.fromEntries([
      ...environments.map((name) => [`${name}-api`, apiTarget(name)] as const),
      ...databases.map((name) => [`${name}-db`, databaseTarget(name)] as const),
    ]),
    // Whoever tries it out measures it too, all from one address.
    limits: {
      grants_per_principal: 100,
      requests_per_principal: 100_000,
      requests_per_address: 100_000,
    },
  })
}

/** Writes what isn't there yet, so that policies may be changed between two starts; the URL may have changed. */
function furnish(directory: string, yaml: string): void {
  mkdirSync(join(directory, 'policies'), { recursive: true, mode: 0o700 })
  writeFileSync(join(directory, 'broker.yaml'), yaml, { mode: 0o600 })
  const secret = join(directory, 'introspection.secret')
  if (!existsSync(secret)) {
    writeFileSync(secret, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 })
  }
  for (const { name, content } of DEV_POLICIES) {
    const file = join(directory, 'policies', name)
    if (!existsSync(file)) writeFileSync(file, content, { mode: 0o600 })
  }
}

/**
 * Starts the development control plane.
 * @throws JitError `config_invalid`, `store_failed`, `target_unreachable`
 */
export async function startDevelopment(options: DevelopmentOptions): Promise<Development> {
  const { clock, log, env, postgres } = options
  if (postgres !== undefined) {
    const { prepareSampleRoles } = await import('./sample-roles.ts')
    await prepareSampleRoles(postgres)
  }
  const server = await bind({ listen: { host: HOST, port: options.port } })
  const url = `http://${HOST}:${portOf(server)}`
  const issuer = `${url}/idp`
  const directory = options.data ?? mkdtempSync(join(tmpdir(), 'jit-dev-'))
  const remove = () => {
    if (options.data === undefined) rmSync(directory, { recursive: true, force: true })
  }
  let broker: Broker
  let provider: ReturnType<typeof createProvider>
  try {
    furnish(directory, brokerYaml(url, options))
    provider = createProvider({ issuer, file: join(directory, 'provider.db') })
    broker = await startBroker({
      config: await loadConfig(join(directory, 'broker.yaml'), targetKinds),
      env: { ...env, ...(postgres === undefined ? {} : { [ADMIN_URL]: postgres }) },
      clock,
      log,
      failpoint: () => {},
      server,
      mounts: [{ prefix: '/idp/', listener: provider.handler }],
    })
  } catch (thrown) {
    await closeServer(server)
    remove()
    throw thrown
  }
  return {
    broker: url,
    issuer,
    reload: () => broker.reload(),
    async stop() {
      if (options.data === undefined) {
        const left = await broker.drain(DRAIN_MS)
        if (left.length > 0) log.warn('credentials that nobody can revoke any more', { left })
      }
      await broker.stop()
      provider.close()
      remove()
    },
  }
}
