import { JitError } from '../lib/errors.ts'
import type { GrantContext } from '../protocol/grant.ts'
import type { ClaimedContext } from '../protocol/request.ts'
import type { Assessment, Decider, Evidence } from './decider.ts'
import type { Ender } from './ender.ts'
import { deadlineAfter, extendAll, requireExtendable } from './extension.ts'
import type { Move, Renewal } from './ledger/renewal-ledger.ts'
import type { BrokerParts } from './parts.ts'
import { claimedBy, type ResolvedRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { GrantRow } from './store/schema.ts'

/** For so long the same refusal answers again, in milliseconds: the log isn't the client's to fill. */
const REFUSAL_KEPT_MS = 5000

interface RenewalParts extends BrokerParts {
  readonly decider: Decider
  readonly evidence: (
    request: ResolvedRequest,
    row: GrantRow,
    approvals?: { notBefore: number },
  ) => Promise<Evidence>
  readonly ender: Ender
}

/** An active grant, as it is decided again. */
interface Live {
  readonly session: Session
  readonly row: GrantRow
}

/** What becomes of a grant while its command runs: more time, another context. */
export class Renewals {
  readonly #parts: RenewalParts
  readonly #refusals = new Map<string, { error: JitError; until: number }>()

  constructor(parts: RenewalParts) {
    this.#parts = parts
  }

  /**
   * Moves a grant's deadline, if policy permits it now: every lease's, or none's.
   * @returns the deadline, milliseconds since the epoch: the one there was where more than half of its time is left
   * @throws JitError `denied`, `ttl_too_short`, `target_refused`, `target_unreachable`, `grant_ended`, `session_ended`
   */
  async renew(sid: string, grant: string): Promise<number> {
    this.#repeatRefusal(grant)
    const live = await this.#live(sid, grant)
    const from = live?.row.expires_at ?? null
    if (!live || from === null) throw over(grant)
    const { row } = live
    if (from - this.#parts.store.now() > row.ttl_seconds * 500) return from
    try {
      return await this.#renew(live, from)
    } catch (thrown) {
      const error = JitError.from(thrown)
      const until = this.#parts.store.now() + REFUSAL_KEPT_MS
      if (error.code === 'denied') this.#refusals.set(grant, { error, until })
      throw error
    }
  }

  #repeatRefusal(grant: string): void {
    const now = this.#parts.store.now()
    for (const [id, { until }] of this.#refusals) if (until <= now) this.#refusals.delete(id)
    const refusal = this.#refusals.get(grant)
    if (refusal) throw refusal.error
  }

  async #renew(live: Live, from: number): Promise<number> {
    const { ledger, failpoint, decider } = this.#parts
    const { row, session } = live
    const request = this.#request(live)
    requireExtendable(request)
    const to = deadlineAfter({ now: this.#parts.store.now(), from, request, session })
    const assessment = await this.#assess(live, request, { renewing: true })
    if (assessment.kind !== 'permitted') throw await this.#denied(live, request, assessment)
    const renewal: Renewal = {
      grant: row.id,
      from,
      to,
      principal: session.principal,
      policyVersion: decider.current.version,
      decisions: assessment.decisions,
      told: row.claimed_told,
    }
    const leases = await ledger.renewals.intend(renewal)
    if (!leases) throw over(row.id)
    failpoint('renew:intended')
    const extension = await extendAll(leases, { from, to, fleet: this.#parts.fleet })
    failpoint('renew:extended')
    if (extension.kind === 'failed') {
      const { error, back } = extension
      const { code, message } = error
      await ledger.renewals.abandon(renewal, { back, reason: { code, message } })
      throw error
    }
    if (!(await ledger.renewals.confirm(renewal))) throw over(row.id)
    this.#parts.ender.watchDeadline(row.id, to)
    failpoint('renew:recorded')
    return to
  }

  /**
   * Decides an active grant in the context where its client stands now: a denial ends it, or is left to
   * the next renewal where the task says so.
   * @throws JitError `session_ended`
   */
  async moved(sid: string, grant: string, told: ClaimedContext): Promise<void> {
    const live = await this.#live(sid, grant)
    if (!live) return
    const claimed = claimedBy(live.session, told)
    if (isSame(claimed, lastTold(live.row))) return
    const later = this.#parts.config.onContextChange[live.row.task] === 'renewal'
    try {
      await this.#move(live, { claimed, later })
    } catch (thrown) {
      // Unknown means no.
      const reason = `its context changed: ${JitError.from(thrown).message}`
      if (later) await this.#note(live.row, { claimed, permitted: false, decisions: [] })
      else
        await this.#parts.ender.end(grant, { by: 'context', reason, detail: { claimed, reason } })
    }
  }

  async #move(
    live: Live,
    { claimed, later }: { claimed: ClaimedContext; later: boolean },
  ): Promise<void> {
    const { row } = live
    const told = { ...row, claimed_told: JSON.stringify(claimed) }
    const request = this.#request({ ...live, row: told })
    const assessment = await this.#assess(live, request, { renewing: false })
    const { decisions } = assessment
    const permitted = assessment.kind === 'permitted'
    if (permitted || later) return this.#note(row, { claimed, permitted, decisions })
    const reason = `its context changed: ${this.#explain(request, assessment)}`
    await this.#parts.ender.end(row.id, { by: 'context', reason, detail: { claimed, decisions } })
  }

  #note(row: GrantRow, moved: Omit<Move, 'policyVersion'>): Promise<void> {
    const { ledger, decider } = this.#parts
    const policyVersion = decider.current.version
    return ledger.renewals.moved(row.id, { ...moved, policyVersion })
  }

  async #live(sid: string, grant: string): Promise<Live | undefined> {
    const session = await this.#parts.sessions.get(sid)
    const { row } = await this.#parts.ledger.read.grant(grant)
    return row.sid === sid && row.state === 'active' ? { session, row } : undefined
  }

  /** As it was asked for, at today's targets, where issuer and client say that it stands now. */
  #request({ session, row }: Live): ResolvedRequest {
    const request = this.#parts.decider.recorded(row)
    const claimed = lastTold(row)
    return { ...request, context: { ...request.context, ...session.signed, claimed } }
  }

  /** For more time only approvals that are recent enough count. */
  async #assess(
    { session, row }: Live,
    request: ResolvedRequest,
    { renewing }: { renewing: boolean },
  ): Promise<Assessment> {
    const { config, decider, store } = this.#parts
    const notBefore = renewing ? store.now() - config.approval.renewableFor * 1000 : 0
    return decider.assess(session, request, await this.#parts.evidence(request, row, { notBefore }))
  }

  async #denied(
    { session, row }: Live,
    request: ResolvedRequest,
    assessment: Exclude<Assessment, { kind: 'permitted' }>,
  ): Promise<JitError> {
    const { ledger, decider } = this.#parts
    const message = this.#explain(request, assessment)
    const policyVersion = decider.current.version
    const { decisions } = assessment
    const { principal } = session
    await ledger.renewals.denied(row, { principal, policyVersion, decisions, message })
    return new JitError('denied', message)
  }

  #explain(
    request: ResolvedRequest,
    assessment: Exclude<Assessment, { kind: 'permitted' }>,
  ): string {
    if (assessment.kind === 'denied')
      return this.#parts.decider.explain(request, assessment).message
    const { obligation, wantedBy } = assessment
    const wants = obligation.approvals.length > 0 ? 'a new approval' : 'a fresh sign-in'
    return `policy wants ${wants}${wantedBy.length > 0 ? ` (${wantedBy.join(', ')})` : ''}`
  }
}

/** Where the client said last that it stands. */
function lastTold({ claimed_told, context }: GrantRow): ClaimedContext {
  if (claimed_told !== null) return JSON.parse(claimed_told) as ClaimedContext
  return (JSON.parse(context) as GrantContext).claimed
}

function isSame(a: ClaimedContext, b: ClaimedContext): boolean {
  const { repository, branch, commit, dirty } = a
  return (
    b.repository === repository && b.branch === branch && b.commit === commit && b.dirty === dirty
  )
}

function over(grant: string): JitError {
  return new JitError('grant_ended', `grant ${grant} is over`)
}
