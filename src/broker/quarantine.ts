import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import type { Target } from '../targets/target.ts'
import type { Fleet } from './fleet.ts'
import type { Verdict } from './incarnation.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { Log } from './log.ts'
import { retryPause } from './revocation-queue.ts'
import type { QuarantineRow } from './store/schema.ts'
import type { Store } from './store/store.ts'

/** How long after its deadline a credential is left to whoever made it, in milliseconds. */
const AFTER_DEADLINE_MS = 30_000
const ATTEMPT_MS = 20_000
const BATCH = 50

interface Parts {
  readonly store: Store
  readonly ledger: Ledger
  readonly fleet: Fleet
  readonly log: Log
}

type Unknown = Extract<Verdict, { kind: 'unknown' }>

/**
 * Credentials under this ledger's name that it knows nothing of: of a future that a restored copy forgot, or of
 * another broker that runs on a copy. Nobody may be using them, or somebody at work. So they are left alone until
 * an operator says that their maker is gone, or the target itself refuses them; then they are revoked for sure.
 */
export class Quarantine {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Remembers what a sweep found and can't explain. */
  async take(
    target: Target,
    found: ReadonlyMap<string, Unknown>,
    signal: AbortSignal,
  ): Promise<void> {
    if (found.size === 0) return
    const { fleet, ledger, log } = this.#parts
    const identity = await fleet.identity(target, signal)
    const fresh: string[] = []
    for (const [handle, { mintedAt, forked }] of found) {
      const deadline = (await target.deadline?.(handle, signal))?.at ?? null
      const row = {
        ...{ handle, target: target.name, target_identity: identity, deadline },
        ...{ minted_at: mintedAt, forked: forked ? 1 : 0 },
      }
      const at = deadline === null ? null : deadline + AFTER_DEADLINE_MS
      if (await ledger.quarantine.take(row, at)) fresh.push(handle)
    }
    if (fresh.length === 0) return
    log.warn('credentials of this ledger that it knows nothing of: was an older copy restored?', {
      ...{ target: target.name, handles: fresh, forked: [...found.values()].some(isForked) },
      hint: 'jit broker quarantine',
    })
  }

  /** What isn't at its target any more is over. @param there everything that a sweep saw */
  async compare(target: Target, there: readonly string[], signal: AbortSignal): Promise<void> {
    const { fleet, ledger } = this.#parts
    const seen = new Set(there)
    const rows = await ledger.quarantine.open({ target: target.name })
    const gone = rows.filter(({ handle }) => !seen.has(handle))
    if (gone.length === 0) return
    const identity = await fleet.identity(target, signal)
    for (const row of gone) {
      if (row.target_identity === identity) await ledger.quarantine.resolve(row, 'gone')
    }
  }

  /** Revokes what an operator adopted, and what its target refuses by now. */
  async settle(): Promise<void> {
    const { ledger, store } = this.#parts
    const rows = await ledger.quarantine.due(BATCH)
    await Promise.all(
      rows.map(async (row) => {
        try {
          await this.#settle(row, AbortSignal.timeout(ATTEMPT_MS))
        } catch (thrown) {
          const { message: problem } = JitError.from(thrown)
          const at = store.now() + retryPause(row.attempts)
          await ledger.quarantine.postpone(row, { at, problem })
        }
      }),
    )
  }

  async #settle(row: QuarantineRow, signal: AbortSignal): Promise<void> {
    const { ledger, store, log } = this.#parts
    const { handle } = row
    const target = await this.#targetOf(row, signal)
    if (row.adopted_at === null) {
      const deadline = await target.deadline?.(handle, signal)
      if (deadline && !deadline.passed) {
        // Whoever has it renewed it.
        const at = Math.max(deadline.at, store.now()) + AFTER_DEADLINE_MS
        return ledger.quarantine.postpone(row, { at, problem: null, deadline: deadline.at })
      }
    }
    const outcome = await target.revoke(
      { handle, expiresAt: 0, confirmed: true, mintBy: 0 },
      signal,
    )
    if (outcome.kind !== 'revoked' || outcome.cleanup !== undefined) {
      const left = outcome.kind === 'revoked' ? outcome.cleanup : undefined
      throw new JitError('target_refused', left ?? `${target.name}: not revoked yet`)
    }
    await ledger.quarantine.resolve(row, 'revoked')
    const minted = toTimestamp(row.minted_at)
    log.info('a credential in quarantine was revoked', { target: target.name, handle, minted })
  }

  async #targetOf(row: QuarantineRow, signal: AbortSignal): Promise<Target> {
    const { fleet } = this.#parts
    const target = fleet.get(row.target)?.target
    if (!target) throw new JitError('target_refused', `'${row.target}' is not configured any more`)
    if ((await fleet.identity(target, signal)) === row.target_identity) return target
    throw new JitError('target_refused', `'${row.target}' is another system now`)
  }
}

const isForked = ({ forked }: Unknown) => forked
