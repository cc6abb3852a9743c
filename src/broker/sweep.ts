import { JitError } from '../lib/errors.ts'
import { handlePrefix } from '../lib/handle.ts'
import type { Target } from '../targets/target.ts'
import type { Fleet } from './fleet.ts'
import type { Incarnation, Verdict } from './incarnation.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { Log } from './log.ts'
import type { Quarantine } from './quarantine.ts'
import type { Revoker } from './revoker.ts'
import type { LeaseRow } from './store/schema.ts'

const SWEEP_TIMEOUT_MS = 60_000
/** How many leases are in memory at once, however many there are. */
const PAGE = 500

interface Parts {
  readonly fleet: Fleet
  readonly ledger: Ledger
  readonly revoker: Revoker
  readonly incarnation: Incarnation
  readonly quarantine: Quarantine
  readonly log: Log
}

/** What a sweep found at one target. */
export interface SweepResult {
  readonly target: string
  /** Handles of this ledger that exist there. */
  readonly seen: number
  /** Those whose lease isn't live: revoked again. */
  readonly revived: number
  /** Those of no known lease: undone, or put into quarantine where the ledger may have forgotten it. */
  readonly unknown: number
}

/**
 * Looks for credentials that outlived their lease. The target is listed before the ledger is
 * read, so that a mint in between isn't taken for a stray.
 */
export async function sweep(target: Target, parts: Parts): Promise<SweepResult> {
  const { ledger, revoker, log, incarnation, quarantine } = parts
  const handles: string[] = []
  const prefix = handlePrefix(ledger.id)
  const signal = AbortSignal.timeout(SWEEP_TIMEOUT_MS)
  for await (const handle of target.sweep?.(prefix, signal) ?? []) handles.push(handle)
  const unknown: string[] = []
  let revived = 0
  for (let at = 0; at < handles.length; at += PAGE) {
    const page = handles.slice(at, at + PAGE)
    const leases = await ledger.leases.byHandle(page)
    const known = new Set(leases.map(({ handle }) => handle))
    unknown.push(...page.filter((handle) => !known.has(handle)))
    for (const lease of leases.filter(isOver)) {
      revoker.undo([await ledger.leases.revive(lease)])
      revived += 1
    }
  }
  const verdicts = await incarnation.judge(unknown)
  await quarantine.take(target, forgotten(verdicts), signal)
  await quarantine.compare(target, handles, signal)
  for (const [handle, { kind }] of verdicts) {
    if (kind !== 'ours') continue
    await revokeStray(handle, { target, ledger, signal }).catch((thrown: unknown) => {
      log.warn('a stray could not be revoked', { handle, reason: JitError.from(thrown).message })
    })
  }
  const { name } = target
  return { target: name, seen: handles.length, revived, unknown: unknown.length }
}

/** Thought gone, with nothing left to do. */
function isOver({ state, next_attempt_at }: LeaseRow): boolean {
  return state === 'revoked' && next_attempt_at === null
}

function forgotten(verdicts: ReadonlyMap<string, Verdict>) {
  const unknown = new Map<string, Extract<Verdict, { kind: 'unknown' }>>()
  for (const [handle, verdict] of verdicts) {
    if (verdict.kind === 'unknown') unknown.set(handle, verdict)
  }
  return unknown
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

/**
 * Sweeps every target that can be swept; one that can't be reached holds up no other.
 * @param options.due only those that no node has swept for so many milliseconds
 */
export async function sweepAll(parts: Parts, { due }: { due?: number } = {}): Promise<void> {
  const { nodes } = parts.ledger
  await Promise.all(
    parts.fleet.members().map(async ({ target }) => {
      if (!target.sweep) return
      try {
        if (due !== undefined && !(await nodes.claim(`sweep:${target.name}`, due))) return
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
