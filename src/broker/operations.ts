import { hostname, userInfo } from 'node:os'
import type { Clock } from '../lib/clock.ts'
import { type AuditLog, createAuditLog } from './audit.ts'
import type { BrokerConfig } from './config/config.ts'
import { KeyRing } from './key-ring.ts'
import { KeyRotation } from './key-rotation.ts'
import { newNodeId } from './ledger/node-ledger.ts'
import { QuarantineLedger } from './ledger/quarantine-ledger.ts'
import type { Log } from './log.ts'
import { resolveReference } from './references.ts'
import { openSeal, type SealEnvironment } from './seal-key.ts'
import { endEverySession } from './session-end.ts'
import { openStore } from './store/open.ts'
import type { Store } from './store/store.ts'

/** What an operator may do with a ledger, whether a broker serves it or not. */
export interface Operations {
  /** A copy of the store was put in its place: what was ended since it was made must not live again. */
  restored(): Promise<{ sessions: number }>
  readonly keys: KeyRotation
  readonly quarantine: QuarantineLedger
  /** Who does it, by their own word: whoever may read store and seal key may do anything. */
  readonly operator: string
  close(): Promise<void>
}

/**
 * Opens the ledger of a configuration, beside the broker that may be serving it: that finds what was
 * changed by itself, within seconds.
 * @throws JitError `store_failed`, `config_invalid`
 */
export async function openOperations({
  config,
  env,
  clock,
  log,
  store: given,
}: {
  readonly config: BrokerConfig
  readonly env: SealEnvironment
  readonly clock: Clock
  readonly log: Log
  /** Instead of the one that the configuration names. */
  readonly store?: Store
}): Promise<Operations> {
  const resolve = (reference: string) =>
    resolveReference(reference, { env, directory: config.directory })
  const store = given ?? (await openStore(config.store, { clock, log, resolve, beside: true }))
  try {
    const seal = openSeal(config, env)
    const ring = await KeyRing.open(store, seal)
    // None of the nodes: all of them are told.
    const node = newNodeId(store.now())
    const audit = createAuditLog(store, { keys: ring.of('audit'), node })
    const operator = `${userName()}@${hostname()}`
    return {
      keys: new KeyRotation({ store, seal, ring, audit, config }),
      quarantine: new QuarantineLedger({ store, audit }),
      operator,
      restored: () => restored(store, { audit, operator }),
      close: () => store.close(),
    }
  } catch (thrown) {
    await store.close()
    throw thrown
  }
}

async function restored(
  store: Store,
  { audit, operator }: { audit: AuditLog; operator: string },
): Promise<{ sessions: number }> {
  return store.transaction(async (tx) => {
    const event = { event: 'broker.restored', principal: null, operator } as const
    await audit.append(tx, event)
    return { sessions: await endEverySession(tx, { audit, at: store.now() }) }
  })
}

/** A container may run as a number that has no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.())
  }
}
