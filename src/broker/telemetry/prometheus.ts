import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Store } from '../store/store.ts'
import { takeCensus } from './census.ts'
import type { Metrics } from './metrics.ts'

/** Seconds: a store on a disk, a target next door, a cloud's API on a bad day. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20]

/** What is looked up when somebody looks. */
export interface Sources {
  readonly store: Store
  readonly version: string
  readonly policies: () => string
  /** Lifelines that are open at this node. */
  readonly lifelines: () => number
}

/** Metrics in Prometheus's text format. */
export interface PrometheusMetrics extends Metrics {
  readonly contentType: string
  /** What stands in the ledger is read anew; a store that doesn't answer is a value of its own. */
  render(sources: Sources): Promise<string>
}

/** Counters and histograms of this process: every label is of a list that configuration or code bounds. */
function counters(registers: Registry[]) {
  const histogram = <const Name extends string>(name: string, help: string, labels: Name[]) =>
    new Histogram({ name, help, labelNames: labels, buckets: BUCKETS, registers })
  const counter = <const Name extends string>(name: string, help: string, labels: Name[]) =>
    new Counter({ name, help, labelNames: labels, registers })
  return {
    calls: histogram('jit_target_duration_seconds', 'Calls to a target.', ['target', 'operation']),
    failures: counter('jit_target_failures_total', 'Calls to a target that did not succeed.', [
      'target',
      'operation',
      'code',
    ]),
    transactions: histogram('jit_store_transaction_duration_seconds', 'Transactions.', []),
    storeFailures: counter('jit_store_failures_total', 'Transactions that the store failed.', []),
    appends: histogram('jit_audit_append_duration_seconds', 'Adding to the audit log.', []),
    entries: counter('jit_audit_entries_total', 'Entries of the audit log.', ['event']),
    requests: counter('jit_requests_total', 'Requests by their first answer.', ['task', 'outcome']),
    refusals: counter('jit_refusals_total', 'Problems that clients were told of.', ['code']),
    http: histogram('jit_http_request_duration_seconds', 'HTTP requests.', [
      'method',
      'route',
      'status',
    ]),
  }
}

/** What is as it is at the moment of looking. */
function gauges(registers: Registry[]) {
  const gauge = <const Name extends string>(name: string, help: string, labels: Name[]) =>
    new Gauge({ name, help, labelNames: labels, registers })
  return {
    build: gauge('jit_build_info', 'Always 1.', ['version', 'node']),
    policies: gauge('jit_policy_info', 'The policies in force; always 1.', ['version']),
    lifelines: gauge('jit_lifelines', 'Lifelines open at this node.', []),
    up: gauge('jit_store_up', 'Whether the store answered just now.', []),
    grants: gauge('jit_grants', 'Grants that are not over.', ['state', 'task']),
    sandboxes: gauge('jit_sandboxes', 'Sandboxes that run.', []),
    stuck: gauge('jit_revocations_stuck', 'Leases whose last revocation failed.', ['target']),
    oldest: gauge(
      'jit_revocations_stuck_oldest_seconds',
      'For how long the oldest stuck lease was to be revoked; 0 where none is.',
      [],
    ),
    quarantined: gauge('jit_quarantined', 'Credentials of unknown makers.', []),
    forked: gauge('jit_forked', 'Whether another broker has a copy of the ledger.', []),
  }
}

/** Metrics of a broker, for a registry of their own. */
export function createPrometheusMetrics(): PrometheusMetrics {
  const registry = new Registry()
  const counted = counters([registry])
  const seen = gauges([registry])
  collectDefaultMetrics({ register: registry })
  const look = async ({ store, version, policies, lifelines }: Sources) => {
    for (const gauge of [seen.policies, seen.grants, seen.stuck]) gauge.reset()
    seen.build.set({ version, node: process.version }, 1)
    seen.policies.set({ version: policies() }, 1)
    seen.lifelines.set(lifelines())
    const census = await takeCensus(store).catch(() => undefined)
    seen.up.set(census ? 1 : 0)
    if (!census) return
    for (const { state, task, count } of census.grants) seen.grants.set({ state, task }, count)
    seen.sandboxes.set(census.sandboxes)
    for (const { target, count } of census.stuck) seen.stuck.set({ target }, count)
    const since = Math.min(...census.stuck.map((one) => one.since))
    seen.quarantined.set(census.quarantined.open)
    seen.forked.set(census.quarantined.forked ? 1 : 0)
    seen.oldest.set(Number.isFinite(since) ? Math.max(0, (store.now() - since) / 1000) : 0)
  }
  return {
    contentType: registry.contentType,
    async render(sources) {
      await look(sources)
      return registry.metrics()
    },
    target({ target, operation, seconds, failure }) {
      counted.calls.observe({ target, operation }, seconds)
      if (failure) counted.failures.inc({ target, operation, code: failure })
    },
    transaction({ seconds, failed }) {
      counted.transactions.observe(seconds)
      if (failed) counted.storeFailures.inc()
    },
    recorded({ event, request }) {
      counted.entries.inc({ event })
      if (request) counted.requests.inc(request)
    },
    appended: (seconds) => counted.appends.observe(seconds),
    refused: (code) => counted.refusals.inc({ code }),
    answered({ method, route, status, seconds }) {
      counted.http.observe({ method, route, status }, seconds)
    },
  }
}
