import { JitError } from '../lib/errors.ts'
import type { BrokerParts } from './broker.ts'
import { requestLapsed } from './grant-errors.ts'
import type { Grants } from './grants.ts'
import { forgetExpired } from './replay.ts'
import type { Sandboxes } from './sandboxes.ts'
import type { GrantRow } from './store/schema.ts'

interface ReaperParts extends BrokerParts {
  readonly grants: Grants
  readonly sandboxes: Sandboxes
}

/** Ends what has run out, and what nobody permits or mints any more. */
export class Reaper {
  readonly #parts: ReaperParts

  constructor(parts: ReaperParts) {
    this.#parts = parts
  }

  /** Whatever was missed, by a failure or by a process that died, is found here. */
  async reap(): Promise<void> {
    const { grants, sandboxes, sessions, store } = this.#parts
    await grants.endExpired()
    await this.#endLapsed()
    for (const { sid, by } of await sessions.lapsed()) await sessions.end(sid, by)
    await sandboxes.settle()
    await grants.endWithSessions()
    await this.#endOrphans()
    await this.redecide()
    await forgetExpired(store)
  }

  /** Ends requests that waited too long. */
  async #endLapsed(): Promise<void> {
    const { ledger, grants } = this.#parts
    for (const grant of await ledger.read.lapsed()) {
      await grants.refuse(grant, requestLapsed())
    }
  }

  /** Gives up what nobody mints any more: its window is over, or whoever minted died. */
  async #endOrphans(): Promise<void> {
    const { ledger, revoker } = this.#parts
    revoker.undo(await ledger.grants.overdueIntents())
    for (const grant of await ledger.read.orphans()) {
      const reason = { code: 'internal', message: 'it was never minted' }
      revoker.undo((await ledger.grants.refuse(grant, reason)) ?? [])
    }
  }

  /** Decides again what was decided under other policies, or for a principal that has changed since. */
  async redecide(): Promise<void> {
    const { ledger, grants, log } = this.#parts
    const otherwise = await ledger.read.decidedOtherwise(grants.decider.current.version)
    for (const row of otherwise) {
      try {
        await this.#decideAgain(row)
      } catch (thrown) {
        const { code, message } = JitError.from(thrown)
        log.warn('a grant could not be decided again', { grant: row.id, reason: message })
        // What can't be had any more is not permitted.
        if (code === 'target_refused') await grants.end(row.id, { by: 'policy' })
      }
    }
    await this.#parts.sandboxes.redecide()
  }

  async #decideAgain(row: GrantRow): Promise<void> {
    const { ledger, sessions, grants } = this.#parts
    const session = await sessions.get(row.sid)
    const request = grants.decider.recorded(row)
    const evidence = await grants.evidence(request, row)
    const { kind, decisions } = grants.decider.assess(session, request, evidence)
    const { version } = grants.decider.current
    const { principal } = session
    if (kind === 'permitted') {
      await ledger.grants.redecided(row.id, { version, principal })
    } else {
      await grants.end(row.id, { by: 'policy', detail: { policy_version: version, decisions } })
    }
  }
}
