import { JitError } from '../../lib/errors.ts'
import { tracing } from '../../lib/tracing.ts'
import type { Target } from '../../targets/target.ts'
import type { AuditEvent, AuditLog } from '../audit.ts'
import type { Store } from '../store/store.ts'
import type { Metrics, TargetOperation } from './metrics.ts'

/** `object`, with some of its methods replaced; the others, and its fields, are its own. */
function withMethods<T extends object>(object: T, replaced: Partial<T>): T {
  return new Proxy(object, {
    get(own, key) {
      if (Object.hasOwn(replaced, key)) return Reflect.get(replaced, key)
      const value: unknown = Reflect.get(own, key, own)
      return typeof value === 'function' ? value.bind(own) : value
    },
  })
}

const secondsSince = (start: number) => (performance.now() - start) / 1000

/** A store whose transactions are timed, the wait for their turn included. */
export function observedStore(store: Store, metrics: Metrics): Store {
  return withMethods(store, {
    async transaction(work, options) {
      const start = performance.now()
      let failed = true
      try {
        const value = await store.transaction(work, options)
        failed = false
        return value
      } catch (thrown) {
        // What the work itself threw says nothing about the store.
        failed = JitError.from(thrown).code === 'store_failed'
        throw thrown
      } finally {
        metrics.transaction({ seconds: secondsSince(start), failed })
      }
    },
  })
}

/** The answer that each of these records is a request's first. */
const OUTCOMES: Readonly<Record<string, string>> = {
  'grant.permitted': 'permitted',
  'grant.pending': 'pending',
  'grant.denied': 'denied',
}

function requestIn({ event, task }: AuditEvent) {
  const outcome = OUTCOMES[event]
  return outcome !== undefined && typeof task === 'string' ? { request: { task, outcome } } : {}
}

/** An audit log whose entries are counted by event. */
export function observedAudit(audit: AuditLog, metrics: Metrics): AuditLog {
  return withMethods(audit, {
    async append(tx, ...events) {
      const start = performance.now()
      const position = await audit.append(tx, ...events)
      metrics.appended(secondsSince(start))
      for (const one of events) metrics.recorded({ event: one.event, ...requestIn(one) })
      return position
    },
  })
}

/** A target whose calls are timed and traced, and whose failures are counted. */
export function observedTarget(target: Target, metrics: Metrics): Target {
  const attributes = { 'jit.target': target.name, 'jit.target.type': target.type }
  const during = <T>(operation: TargetOperation, work: () => Promise<T>): Promise<T> =>
    tracing.during(operation, { kind: 'client', attributes }, () => timed(operation, work))
  const timed = async <T>(operation: TargetOperation, work: () => Promise<T>): Promise<T> => {
    const start = performance.now()
    const ended = (failure?: JitError) =>
      metrics.target({
        ...{ target: target.name, operation, seconds: secondsSince(start) },
        ...(failure ? { failure: failure.code } : {}),
      })
    try {
      const value = await work()
      ended()
      return value
    } catch (thrown) {
      ended(JitError.from(thrown))
      throw thrown
    }
  }
  const { extend } = target
  return withMethods(target, {
    mint: (lease, signal) => during('mint', () => target.mint(lease, signal)),
    revoke: (lease, signal) => during('revoke', () => target.revoke(lease, signal)),
    ...(extend && {
      extend: (lease, until, signal) =>
        during('renew', () => extend.call(target, lease, until, signal)),
    }),
  })
}
