import { closeSync, existsSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { dirname } from 'node:path'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { type AccessTokens, createAccessTokens } from './access-tokens.ts'
import { createApp } from './app.ts'
import { type AuditLog, createAuditLog } from './audit.ts'
import { authenticate } from './authenticate.ts'
import type { BrokerConfig } from './config/config.ts'
import type { Failpoints } from './failpoints.ts'
import { Fleet } from './fleet.ts'
import { createForge, type Forge } from './forge.ts'
import { grantTokenSigner } from './grant-tokens.ts'
import { Grants } from './grants.ts'
import { createIdentityProviders, type IdentityProviders } from './identity.ts'
import { type KeyPurpose, loadSigningKeys, type SigningKey } from './keys.ts'
import { type Ledger, openLedger } from './ledger/ledger.ts'
import { Lifelines } from './lifelines.ts'
import type { Log } from './log.ts'
import { Notifier } from './notifier.ts'
import { Outbox } from './outbox.ts'
import { Policies } from './policies.ts'
import { Reaper } from './reaper.ts'
import { resolveReference } from './references.ts'
import { Revoker } from './revoker.ts'
import { Sandboxes } from './sandboxes.ts'
import { createSeal, newSealKey, type Seal } from './seal.ts'
import { createSecurityEvents, type SecurityEvents } from './security-events.ts'
import { bind, checkTransport, closeServer, type Mount, portOf, serve } from './server.ts'
import { Sessions } from './sessions.ts'
import { openSqliteStore } from './store/sqlite.ts'
import type { Store } from './store/store.ts'
import { sweepAll } from './sweep.ts'

/** How often what has run out is looked for, and how often targets are swept, in milliseconds. */
const REAP_MS = 1000
const SWEEP_MS = 5 * 60_000

/** What the broker's parts share. */
export interface BrokerParts {
  readonly config: BrokerConfig
  readonly log: Log
  readonly store: Store
  readonly audit: AuditLog
  /** Where the ledger leaves what approvers are to be told. */
  readonly notifier: Notifier
  readonly ledger: Ledger
  readonly fleet: Fleet
  readonly revoker: Revoker
  readonly sessions: Sessions
  readonly policies: Policies
  readonly identity: IdentityProviders
  readonly securityEvents: SecurityEvents
  readonly accessTokens: AccessTokens
  readonly keys: Readonly<Record<KeyPurpose, SigningKey>>
  readonly failpoint: Failpoints
  readonly forge: Forge | undefined
}

/** What a broker is started with. */
export interface BrokerOptions {
  readonly config: BrokerConfig
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly log: Log
  readonly failpoint: Failpoints
  /** A server that listens already, where the URL had to be known before. */
  readonly server?: Server
  readonly mounts?: readonly Mount[]
  /** How identity providers are reached. */
  readonly fetch?: typeof fetch
}

/** A broker that serves. */
export interface Broker {
  readonly port: number
  /** Reads the policies again; grants that they don't permit end. @throws JitError `policy_invalid` */
  reload(): Promise<void>
  /**
   * Ends every grant and waits for the targets, at most `milliseconds`: for a ledger that won't be
   * opened again. @returns the handles that no target confirmed
   */
  drain(milliseconds: number): Promise<string[]>
  /** Stops serving. Grants live on: their clients come back to the next process. */
  stop(): Promise<void>
}

/** A new file for its owner alone, whole on the disk before anything depends on it. */
function writeDurably(path: string, text: string): void {
  const draft = `${path}.new`
  writeFileSync(draft, text, { mode: 0o600, flush: true })
  renameSync(draft, path)
  const directory = openSync(dirname(path), 'r')
  fsyncSync(directory)
  closeSync(directory)
}

function openSeal({ config, env }: BrokerOptions): Seal {
  const { reference, generate } = config.sealKey
  const path = reference.slice('file:'.length)
  if (generate && !existsSync(path)) writeDurably(path, `${newSealKey()}\n`)
  return createSeal(resolveReference(reference, { env, directory: config.directory }))
}

async function assemble(options: BrokerOptions, store: Store): Promise<BrokerParts> {
  const { config, env, clock, log, failpoint } = options
  const seal = openSeal(options)
  const keys = await loadSigningKeys(store, seal)
  const audit = createAuditLog(store, keys.audit)
  const outbox = new Outbox({ hooks: config.notify, now: () => store.now() })
  const ledger = await openLedger({ store, audit, seal, outbox })
  const now = () => store.now()
  const resolve = (reference: string) =>
    resolveReference(reference, { env, directory: config.directory })
  const signGrantToken = grantTokenSigner({ issuer: config.grantsIssuer, key: keys.grant, now })
  const fleet = new Fleet(config, (name, { environment }) => ({
    name,
    environment,
    resolveReference: resolve,
    signGrantToken,
    now,
  }))
  return {
    config,
    log,
    store,
    audit,
    notifier: new Notifier({ hooks: config.notify, resolveReference: resolve, store, audit, log }),
    ledger,
    fleet,
    keys,
    failpoint,
    forge:
      config.forge &&
      createForge(config.forge, { fetch: options.fetch ?? fetch, resolveReference: resolve, log }),
    revoker: new Revoker({ store, ledger, fleet, log, failpoint }),
    sessions: new Sessions({ store, audit, limits: config.session }),
    policies: await Policies.load(config),
    identity: createIdentityProviders({
      providers: config.identity,
      pipelines: config.pipelines,
      clock,
      fetch: options.fetch ?? fetch,
    }),
    securityEvents: createSecurityEvents({
      transmitters: config.events,
      clock,
      fetch: options.fetch ?? fetch,
    }),
    accessTokens: createAccessTokens({ issuer: config.url, keys: [keys.session], clock }),
  }
}

/**
 * A target with live leases can't be removed or pointed elsewhere: they could not be revoked.
 * @throws JitError `config_invalid`
 */
async function checkTargets({ ledger, fleet, log }: BrokerParts): Promise<void> {
  const live = await ledger.read.liveTargets()
  for (const { target: name, type, target_identity } of live) {
    const target = fleet.get(name)?.target
    if (!target || target.type !== type) {
      throw new JitError('config_invalid', `targets.${name}: it has live leases of type ${type}`, {
        hint: 'keep it configured until they are revoked: `jit grants --all` lists them',
      })
    }
    const identity = await fleet.identity(target, AbortSignal.timeout(5000)).catch(() => undefined)
    if (identity !== undefined && identity !== target_identity) {
      throw new JitError(
        'config_invalid',
        `targets.${name}: it has live leases at another system`,
        {
          hint: `they were made at ${target_identity}; this is ${identity}`,
        },
      )
    }
  }
  for (const { target } of fleet.members()) {
    fleet.identity(target, AbortSignal.timeout(10_000)).catch((thrown: unknown) => {
      const reason = JitError.from(thrown).message
      log.warn('a target does not answer as it should', { target: target.name, reason })
    })
  }
}

/** Repeats `work`, one run at a time; what fails is logged and tried again. */
function every(milliseconds: number, work: () => Promise<void>, log: Log): () => void {
  let running = false
  const timer = setInterval(async () => {
    if (running) return
    running = true
    try {
      await work()
    } catch (thrown) {
      log.warn('housekeeping failed', { reason: String(thrown) })
    } finally {
      running = false
    }
  }, milliseconds)
  return () => clearInterval(timer)
}

/**
 * Starts a broker: its ledger, what an earlier process left, then its socket.
 * @throws JitError `config_invalid`, `policy_invalid`, `store_failed`
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { config, log } = options
  checkTransport(config)
  const store = await openSqliteStore(config.store.path, options.clock)
  const parts = await assemble(options, store)
  const { revoker, fleet, policies } = parts
  await checkTargets(parts)
  const server = options.server ?? (await bind(config))
  const grants = new Grants(parts)
  const sandboxes = new Sandboxes({ ...parts, grants })
  const reaper = new Reaper({ ...parts, grants, sandboxes })
  const lifelines = new Lifelines({ ...parts, grants })
  const app = createApp({ ...parts, grants, sandboxes })
  const waiting = await grants.takeUp()
  serve(server, {
    app,
    lines: {
      '/v1/lifeline': lifelines,
      '/v1/sandbox': sandboxes,
    },
    mounts: options.mounts ?? [],
    authenticateUpgrade: (request) =>
      authenticate(
        {
          method: 'GET',
          path: request.url ?? '/',
          authorization: request.headers.authorization,
          proof: typeof request.headers.dpop === 'string' ? request.headers.dpop : undefined,
        },
        parts,
      ),
  })
  // The grace of what an earlier process left starts now that it can be resumed.
  for (const grant of waiting) lifelines.await(grant)
  await sandboxes.takeUp()
  revoker.start()
  parts.notifier.start()
  void sweepAll(parts)
  const stopReaping = every(REAP_MS, () => reaper.reap(), log)
  const stopSweeping = every(SWEEP_MS, () => sweepAll(parts), log)
  const record = (event: 'broker.started' | 'policy.reloaded') =>
    store.transaction((tx) =>
      parts.audit.append(tx, {
        event,
        principal: null,
        policy_version: policies.current.version,
      }),
    )
  await record('broker.started')
  log.info('serving', { url: config.url, port: portOf(server), policies: policies.current.version })
  return {
    port: portOf(server),
    async reload() {
      await policies.reload()
      await record('policy.reloaded')
      log.info('policies reloaded', { policies: policies.current.version })
      await reaper.redecide()
    },
    async drain(milliseconds) {
      await sandboxes.drain()
      return grants.drain(milliseconds)
    },
    async stop() {
      stopReaping()
      stopSweeping()
      lifelines.stop()
      sandboxes.stop()
      await closeServer(server)
      grants.stop()
      await revoker.stop()
      await parts.notifier.stop()
      await fleet.close()
      await store.close()
    },
  }
}
