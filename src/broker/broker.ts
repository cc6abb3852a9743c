import { beginTracing, isTraced } from '../lib/tracing.ts'
import { createApp } from './app.ts'
import { authenticate } from './authenticate.ts'
import { ClientAddresses } from './client-address.ts'
import { Feed } from './feed.ts'
import { Grants } from './grants.ts'
import { BEAT_MS } from './incarnation.ts'
import { Lifelines } from './lifelines.ts'
import type { Log } from './log.ts'
import { Membership } from './membership.ts'
import { assemble, type BrokerOptions, type BrokerParts, checkTargets } from './parts.ts'
import { Reaper } from './reaper.ts'
import { resolveReference } from './references.ts'
import { Sandboxes } from './sandboxes.ts'
import { bind, checkTransport, closeServer, portOf, serve } from './server.ts'
import { openStore } from './store/open.ts'
import { sweepAll } from './sweep.ts'
import { expose } from './telemetry/exposition.ts'
import { unmeasured } from './telemetry/metrics.ts'
import { observedStore } from './telemetry/observed.ts'
import type { PrometheusMetrics } from './telemetry/prometheus.ts'

/** How often what has run out is looked for, in milliseconds. */
const REAP_MS = 1000
/** How often each target is swept, by one node, and how often each node looks whether that is due. */
const SWEEP_MS = 5 * 60_000
const SWEEP_LOOK_MS = 30_000
/** How often keys are looked after: what another node changed is known here so much later. */
const KEYS_MS = 2000

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
  const { config, clock, log, env } = options
  checkTransport(config)
  const resolve = (reference: string) =>
    resolveReference(reference, { env, directory: config.directory })
  const endTracing = await traceBroker(env)
  const prometheus =
    config.metrics && (await import('./telemetry/prometheus.ts')).createPrometheusMetrics()
  const metrics = prometheus ?? unmeasured
  const opened = options.store ?? (await openStore(config.store, { clock, log, resolve }))
  const store = observedStore(opened, metrics)
  try {
    const parts = await assemble(options, { store, metrics, resolve })
    const broker = await serveOver(options, { parts, prometheus })
    return { ...broker, stop: () => broker.stop().finally(endTracing) }
  } catch (thrown) {
    await store.close()
    throw thrown
  }
}

/** Begins to trace where OpenTelemetry's variables ask for it; nothing of it is loaded else. @returns what ends it */
async function traceBroker(env: BrokerOptions['env']): Promise<() => Promise<void>> {
  if (!isTraced(env)) return async () => {}
  const { createOtelTracer } = await import('../telemetry/otel.ts')
  return beginTracing(createOtelTracer('jit-broker', env))
}

async function serveOver(
  options: BrokerOptions,
  { parts, prometheus }: { parts: BrokerParts; prometheus: PrometheusMetrics | undefined },
): Promise<Broker> {
  const { config, log, store } = parts
  const { revoker, fleet, policies, rotation } = parts
  await rotation.noteLifetimes()
  await checkTargets(parts)
  const server = options.server ?? (await bind(config))
  const grants = new Grants(parts)
  const sandboxes = new Sandboxes({ ...parts, grants })
  const lifelines = new Lifelines({ ...parts, grants })
  const addresses = new ClientAddresses(config.trustedProxies, log)
  const { exposition, server: metricsServer } = await expose(prometheus, {
    ...parts,
    env: options.env,
    lifelines: () => lifelines.size,
  })
  const app = createApp({
    ...{ ...parts, grants, sandboxes, addresses },
    ...(exposition ? { exposition } : {}),
  })
  const membership = new Membership({
    ...parts,
    stepAside() {
      lifelines.stepAside()
      sandboxes.stepAside()
    },
    async freed() {
      await lifelines.takeUp()
      await sandboxes.takeUp()
      void sweepAll(parts)
    },
  })
  const reaper = new Reaper({ ...parts, grants, sandboxes, membership })
  const record = (event: 'broker.started' | 'policy.reloaded') =>
    store.transaction((tx) =>
      parts.audit.append(tx, {
        event,
        principal: null,
        node: parts.node,
        policy_version: policies.current.version,
      }),
    )
  const feed = new Feed({
    ...parts,
    told: async (entry) => {
      await grants.ender.toldOf(entry)
      if (entry.event === 'sandbox.ended') await sandboxes.settle()
      if (entry.event === 'policy.reloaded') await followPolicies()
      if (entry.event.startsWith('broker.key')) await rotation.keepUp()
    },
  })
  /** Another node has read its policies again: this one reads its own, and decides by them when it reaps. */
  const followPolicies = async () => {
    const before = policies.current.version
    await policies.reload()
    if (policies.current.version === before) return
    await record('policy.reloaded')
  }
  feed.start((await parts.audit.head()).seq)
  await grants.ender.endExpired()
  await membership.join()
  serve(server, {
    ...parts,
    app,
    addresses,
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
  await membership.serve()
  revoker.start()
  parts.notifier.start()
  const stopReaping = every(REAP_MS, () => reaper.reap(), log)
  const stopRotating = every(KEYS_MS, () => rotation.keepUp(), log)
  const stopBeating = every(BEAT_MS, () => parts.incarnation.beat(), log)
  const stopSettling = every(REAP_MS, () => parts.quarantine.settle(), log)
  const stopSweeping = every(SWEEP_LOOK_MS, () => sweepAll(parts, { due: SWEEP_MS }), log)
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
      stopRotating()
      stopBeating()
      stopSettling()
      stopSweeping()
      // First: who comes now goes to another node, where there is one.
      const closed = [server, ...(metricsServer ? [metricsServer] : [])].map(closeServer)
      lifelines.stop()
      sandboxes.stop()
      await membership.leave().catch((thrown: unknown) => {
        log.warn('the store was not told that this node goes', { reason: String(thrown) })
      })
      await Promise.all(closed)
      grants.ender.stop()
      await feed.stop()
      await revoker.stop()
      await parts.notifier.stop()
      await fleet.close()
      await store.close()
    },
  }
}
