import { JitError } from '../lib/errors.ts'
import { handlePrefix } from '../lib/handle.ts'
import type { Target } from '../targets/target.ts'
import type { Fleet } from './fleet.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { Log } from './log.ts'
import type { Revoker } from './revoker.ts'
import type { LeaseRow } from './store/schema.ts'

const SWEEP_TIMEOUT_MS = 60_000

interface Parts {
  readonly fleet: Fleet
  readonly ledger: Ledger
  readonly revoker: Revoker
  readonly log: Log
}

/** What a sweep found at one target. */
export interface SweepResult {
  readonly target: string
  /** Handles of this ledger that exist there. */
  readonly seen: number
  /** Those whose lease isn't live: revoked again. */
  readonly revived: number
  /** Those of no known lease: undone, or only reported where newer than the ledger (a restored backup). */
  readonly unknown: number
}

/**
 * Looks for credentials that outlived their lease. The target is listed before the ledger is
 * read, so that a mint in between isn't taken for a stray.
 */
export async function sweep(target: Target, parts: Parts): Promise<SweepResult> {
  const { ledger, revoker, log } = parts
  const handles: string[] = []
  const prefix = handlePrefix(ledger.id)
  const signal = AbortSignal.timeout(SWEEP_TIMEOUT_MS)
  for await (const handle of target.sweep?.(prefix, signal) ?? []) handles.push(handle)
  const leases = new Map<string, LeaseRow>()
  for (let at = 0; at < handles.length; at += 500) {
    for (const lease of await ledger.leases.byHandle(handles.slice(at, at + 500))) {
      leases.set(lease.handle, lease)
    }
  }
  const strays = [...leases.values()].filter(
    ({ state, next_attempt_at }) => state === 'revoked' && next_attempt_at === null,
  )
  for (const lease of strays) revoker.undo([await ledger.leases.revive(lease)])
  const unknown = handles.filter((handle) => !leases.has(handle))
  const newest = await ledger.leases.newestHandle()
  const newer = unknown.filter((handle) => handle > newest)
  if (newer.length > 0) {
    log.warn('credentials newer than this ledger: was an older copy restored?', {
      target: target.name,
      handles: newer,
    })
  }
  for (const handle of unknown) {
    if (handle > newest) continue
    await revokeStray(handle, { target, ledger, signal }).catch((thrown: unknown) => {
      log.warn('a stray could not be revoked', { handle, reason: JitError.from(thrown).message })
    })
  }
  const { name } = target
  return { target: name, seen: handles.length, revived: strays.length, unknown: unknown.length }
}

/** Undoes what carries this ledger's name though no lease of it is known. */
async function revokeStray(
  handle: string,
  { target, ledger, signal }: { target: Target; ledger: Ledger; signal: AbortSignal },
): Promise<void> {
  const outcome = await target.revoke({ handle, expiresAt: 0, confirmed: true, mintBy: 0 }, signal)
  if (outcome.kind !== 'revoked' || outcome.cleanup !== undefined) return
  await ledger.leases.strayRevoked({ target: target.name, handle })
}

/** Sweeps every target that can be swept; one that can't be reached holds up no other. */
export async function sweepAll(parts: Parts): Promise<void> {
  await Promise.all(
    parts.fleet.members().map(async ({ target }) => {
      if (!target.sweep) return
      try {
        const result = await sweep(target, parts)
        if (result.revived > 0) parts.log.warn('a sweep found strays', { ...result })
      } catch (thrown) {
        parts.log.warn('a target could not be swept', {
          target: target.name,
          reason: thrown instanceof Error ? thrown.message : String(thrown),
        })
      }
    }),
  )
}
