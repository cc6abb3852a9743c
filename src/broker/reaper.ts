import { JitError } from '../lib/errors.ts'
import { requestLapsed } from './grant-errors.ts'
import type { Grants } from './grants.ts'
import type { Membership } from './membership.ts'
import type { BrokerParts } from './parts.ts'
import { forgetExpired } from './replay.ts'
import type { Sandboxes } from './sandboxes.ts'
import type { GrantRow } from './store/schema.ts'

/** How long after keys were withdrawn every node knows it, in milliseconds. */
const HEARD_MS = 10_000

interface ReaperParts extends BrokerParts {
  readonly grants: Grants
  readonly sandboxes: Sandboxes
  readonly membership: Pick<Membership, 'servesFor'>
}

/** Whoever ends a session ends its grants as well, and says by what: so long that is left to them. */
const ENDER_MS = 2000

/** Ends what has run out, and what nobody permits or mints any more. */
export class Reaper {
  readonly #parts: ReaperParts

  constructor(parts: ReaperParts) {
    this.#parts = parts
  }

  /** Whatever was missed, by a failure or by a process that died, is found here. */
  async reap(): Promise<void> {
    const { grants, sandboxes, sessions, store } = this.#parts
    await grants.ender.endUnrecorded()
    await grants.ender.endExpired()
    await this.#endAbandoned()
    await this.#endLapsed()
    const lapsed = await sessions.lapsed()
    for (const { sid, by } of lapsed) await sessions.end(sid, by)
    await sandboxes.settle()
    await grants.ender.endWithSessions(lapsed.length > 0 ? 0 : ENDER_MS)
    await this.#endOrphans()
    await this.#endWithKeys()
    await this.redecide()
    await forgetExpired(store)
  }

  /**
   * Ends what found no connection within its grace, once this node has served for as long: until then
   * there may have been none to come back to. Where there was, that one ends it.
   */
  async #endAbandoned(): Promise<void> {
    const { grants, sandboxes, config, membership } = this.#parts
    if (membership.servesFor < config.lifeline.grace * 1000) return
    await grants.ender.endAbandoned()
    await sandboxes.endAbandoned()
  }

  /** Ends requests that waited too long. */
  async #endLapsed(): Promise<void> {
    const { ledger, grants } = this.#parts
    for (const grant of await ledger.read.lapsed()) {
      await grants.ender.refuse(grant, requestLapsed())
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

  /** Ends what holds a token whose key was withdrawn: nothing takes that token any more. */
  async #endWithKeys(): Promise<void> {
    const { keys, fleet, ledger, grants } = this.#parts
    const withdrawn = keys.withdrawnAt('grant')
    if (withdrawn === undefined) return
    const targets = fleet.members().filter(({ target }) => target.isGrantToken)
    const names = targets.map(({ target }) => target.name)
    // A node that had not heard of it may have signed with it a moment longer.
    for (const grant of await ledger.read.begunBy(withdrawn + HEARD_MS, names)) {
      await grants.ender.endAnyway(grant, {
        by: 'revoked',
        reason: 'the key of its token was withdrawn',
      })
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
        if (code === 'target_refused') await grants.ender.end(row.id, { by: 'policy' })
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
      // Of one that is at no node, whichever takes it up says so: nodes may have different policies.
      if (row.held_by === null) return
      await ledger.grants.redecided(row.id, { version, principal })
    } else {
      await grants.ender.end(row.id, {
        by: 'policy',
        detail: { policy_version: version, decisions },
      })
    }
  }
}
