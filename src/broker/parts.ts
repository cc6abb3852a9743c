import type { Server } from 'node:http'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { type AccessTokens, createAccessTokens } from './access-tokens.ts'
import { type AuditLog, createAuditLog } from './audit.ts'
import type { BrokerConfig } from './config/config.ts'
import type { Failpoints } from './failpoints.ts'
import { Fleet } from './fleet.ts'
import { createForge, type Forge } from './forge.ts'
import { grantTokenSigner } from './grant-tokens.ts'
import { createIdentityProviders, type IdentityProviders } from './identity.ts'
import { inTime } from './in-time.ts'
import { Incarnation } from './incarnation.ts'
import { KeyRing } from './key-ring.ts'
import { KeyRotation, makeFirstKeys } from './key-rotation.ts'
import { type Ledger, openLedger } from './ledger/ledger.ts'
import { newNodeId } from './ledger/node-ledger.ts'
import type { Log } from './log.ts'
import { Notifier } from './notifier.ts'
import { Outbox } from './outbox.ts'
import { Policies } from './policies.ts'
import { Quarantine } from './quarantine.ts'
import { RateLimits } from './rate-limits.ts'
import { reseal } from './reseal.ts'
import { Revoker } from './revoker.ts'
import type { Seal } from './seal.ts'
import { makeSealKey, openSeal } from './seal-key.ts'
import { createSecurityEvents, type SecurityEvents } from './security-events.ts'
import type { Mount } from './server.ts'
import { Sessions } from './sessions.ts'
import type { Store } from './store/store.ts'
import type { Metrics } from './telemetry/metrics.ts'
import { observedAudit, observedTarget } from './telemetry/observed.ts'

/** What the broker's parts share. */
export interface BrokerParts {
  readonly config: BrokerConfig
  readonly log: Log
  readonly store: Store
  /** This process, among those over the store. */
  readonly node: string
  readonly audit: AuditLog
  /** Where the ledger leaves what approvers are to be told. */
  readonly notifier: Notifier
  readonly ledger: Ledger
  readonly fleet: Fleet
  readonly revoker: Revoker
  readonly incarnation: Incarnation
  /** Where a sweep leaves what the ledger may have forgotten. */
  readonly quarantine: Quarantine
  readonly sessions: Sessions
  readonly policies: Policies
  readonly rates: RateLimits
  readonly identity: IdentityProviders
  readonly securityEvents: SecurityEvents
  readonly accessTokens: AccessTokens
  readonly keys: KeyRing
  readonly rotation: KeyRotation
  readonly failpoint: Failpoints
  readonly metrics: Metrics
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
  /** Instead of the one that the configuration names: open, and closed with the broker. */
  readonly store?: Store
  /** How identity providers are reached. */
  readonly fetch?: typeof fetch
}

/** How long a start waits for targets with live leases to say what they are, in milliseconds. */
const IDENTITY_WAIT_MS = 2000

/** The broker's keys, all opened: a wrong seal key is known before anything is served. */
async function openKeys({ store, seal, log }: { store: Store; seal: Seal; log: Log }) {
  await makeFirstKeys({ store, seal })
  const resealed = await reseal(store, seal)
  if (resealed.keys + resealed.undos > 0)
    log.info('sealed anew with the first key', { ...resealed })
  return KeyRing.open(store, seal)
}

export async function assemble(
  options: BrokerOptions,
  {
    store,
    metrics,
    resolve,
  }: Pick<BrokerParts, 'store' | 'metrics'> & { resolve: (reference: string) => string },
): Promise<BrokerParts> {
  const { config, env, log, failpoint } = options
  // What one node issued another has to take, whatever its machine's own time is.
  const clock: Clock = { now: () => store.now(), monotonic: () => options.clock.monotonic() }
  makeSealKey(config.sealKey)
  const seal = openSeal(config, env)
  const keys = await openKeys({ store, seal, log })
  const node = newNodeId(store.now())
  const audit = observedAudit(createAuditLog(store, { keys: keys.of('audit'), node }), metrics)
  const outbox = new Outbox({ hooks: config.notify, now: () => store.now() })
  const incarnation = await Incarnation.begin(store)
  const ledger = await openLedger({ store, audit, seal, outbox, node, mark: incarnation.mark })
  const now = () => store.now()
  const signGrantToken = grantTokenSigner({
    issuer: config.grantsIssuer,
    keys: keys.of('grant'),
    now,
  })
  const fleet = new Fleet(config, {
    context: (name, { environment }) => ({
      name,
      environment,
      resolveReference: resolve,
      signGrantToken,
      now,
    }),
    observe: (target) => observedTarget(target, metrics),
  })
  return {
    config,
    log,
    store,
    node,
    audit,
    notifier: new Notifier({ hooks: config.notify, resolveReference: resolve, store, audit, log }),
    ledger,
    fleet,
    keys,
    rotation: new KeyRotation({ store, seal, ring: keys, audit, config }),
    failpoint,
    metrics,
    forge:
      config.forge &&
      createForge(config.forge, { fetch: options.fetch ?? fetch, resolveReference: resolve, log }),
    incarnation,
    quarantine: new Quarantine({ store, ledger, fleet, log }),
    revoker: new Revoker({ store, ledger, fleet, log, failpoint }),
    sessions: new Sessions({ store, audit, limits: config.session }),
    policies: await Policies.load(config),
    rates: new RateLimits(config.limits, () => clock.monotonic()),
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
    accessTokens: createAccessTokens({ issuer: config.url, keys: keys.of('session'), clock }),
  }
}

/**
 * A target with live leases can't be removed or pointed elsewhere: they could not be revoked.
 * @throws JitError `config_invalid`
 */
export async function checkTargets({ ledger, fleet, log }: BrokerParts): Promise<void> {
  const live = await ledger.read.liveTargets()
  const check = async ({ target: name, type, target_identity }: (typeof live)[number]) => {
    const target = fleet.get(name)?.target
    if (!target || target.type !== type) {
      throw new JitError('config_invalid', `targets.${name}: it has live leases of type ${type}`, {
        hint: 'keep it configured until they are revoked: `jit grants --all` lists them',
      })
    }
    // One that takes its time is asked again before anything of it is revoked.
    const patience = { target: name, milliseconds: IDENTITY_WAIT_MS }
    const identity = await inTime(patience, (signal) => fleet.identity(target, signal)).catch(
      () => undefined,
    )
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
  await Promise.all(live.map(check))
  for (const { target } of fleet.members()) {
    fleet.identity(target, AbortSignal.timeout(10_000)).catch((thrown: unknown) => {
      const reason = JitError.from(thrown).message
      log.warn('a target does not answer as it should', { target: target.name, reason })
    })
  }
}
