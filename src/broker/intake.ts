import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import type { GrantRequest } from '../protocol/request.ts'
import type { Assessment, TargetDecision } from './decider.ts'
import { grantEnded, requestDenied } from './grant-errors.ts'
import { type Answer, type DecidedRequest, decidedRequest } from './ledger/decided-request.ts'
import { isOver, type LedgerGrant } from './ledger/rows.ts'
import { type ResolvedRequest, resolveRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { RequestOutcome, RequestParts, WaitingRequests } from './waiting-requests.ts'

/** A request that is asked for the first time. */
interface NewRequest {
  readonly id: string
  readonly key: string
  readonly request: ResolvedRequest
}

interface IntakeParts extends RequestParts {
  readonly waiting: WaitingRequests
  /** One thing at a time for one grant. */
  readonly exclusively: <T>(grant: string, work: () => Promise<T>) => Promise<T>
}

/** From a request to its answer: validate → decide → record; what is permitted is the issuer's to mint. */
export class Intake {
  readonly #parts: IntakeParts

  constructor(parts: IntakeParts) {
    this.#parts = parts
  }

  /**
   * Answers a request. The same key and details from the same session get the same grant.
   * @param onResolved is told what is asked for, before it is decided
   * @throws JitError `session_ended`, `request_invalid`, `idempotency_conflict`, `limit_reached`, `grant_ended`, `target_*`
   */
  async request(
    sid: string,
    { key, details }: GrantRequest,
    onResolved: (id: string, request: ResolvedRequest) => void,
  ): Promise<RequestOutcome> {
    const session = await this.#parts.sessions.get(sid)
    const request = resolveRequest(details, session, this.#parts)
    const before = await this.#before(sid, key, request)
    if (before && isOver(before)) throw grantEnded(before.row.id)
    const id = before?.row.id ?? `g_${newId(this.#parts.store.now())}`
    onResolved(id, request)
    if (before) return this.#answerAgain(session, before, request)
    const answer = await this.#answer(session, { id, key, request })
    // The same request got another id at another node meanwhile: this one goes on with that.
    return answer ?? this.request(sid, { key, details }, onResolved)
  }

  /** @throws JitError `idempotency_conflict` */
  async #before(
    sid: string,
    key: string,
    request: ResolvedRequest,
  ): Promise<LedgerGrant | undefined> {
    const before = await this.#parts.ledger.read.grantByKey(sid, key)
    if (before && before.row.request_hash !== request.hash) {
      throw new JitError('idempotency_conflict', 'this key was used for another request')
    }
    return before
  }

  /** @returns `undefined` when its key was used meanwhile, at another node */
  async #answer(session: Session, asked: NewRequest): Promise<RequestOutcome | undefined> {
    const { ledger, config, failpoint } = this.#parts
    const { id, request } = asked
    const assessment = await this.#assess(session, request)
    if (assessment.kind === 'denied') {
      const decided = this.#decided(session, asked, assessment)
      if (!(await ledger.grants.record(decided, [], config.limits))) return undefined
      return { kind: 'denied', ...this.#parts.decider.explain(request, assessment) }
    }
    if (assessment.kind === 'waits') {
      const { obligation, wantedBy } = assessment
      const waiting = { obligation, wantedBy, lapsesAt: this.#lapsesAt(), attended: true }
      const decided = this.#decided(session, asked, { ...assessment, ...waiting })
      if (!(await ledger.grants.record(decided, [], config.limits))) return undefined
      failpoint('request:pending')
      return { kind: 'pending', grant: id, ...waiting }
    }
    const decided = this.#decided(session, asked, assessment)
    const targets = await this.#parts.issuer.targets(request).catch(async (thrown) => {
      // It was permitted, and that is recorded although nothing comes of it.
      await ledger.grants.record(decided, [], config.limits)
      throw await this.#parts.issuer.giveUp(id, JitError.from(thrown))
    })
    this.#parts.admit()
    const intents = await ledger.grants.record(decided, targets, config.limits)
    if (!intents) return undefined
    failpoint('mint:intended')
    const { principal } = session
    const handover = await this.#parts.issuer.mint({ id, principal, ...request }, intents)
    return { kind: 'granted', handover }
  }

  /** The same request once more: the denial again, or the same grant with new leases. */
  async #answerAgain(
    session: Session,
    before: LedgerGrant,
    request: ResolvedRequest,
  ): Promise<RequestOutcome> {
    if (before.row.state === 'denied') {
      const assessment = await this.#assess(session, request)
      if (assessment.kind !== 'denied') throw grantEnded(before.row.id)
      return { kind: 'denied', ...this.#parts.decider.explain(request, assessment) }
    }
    const { id } = before.row
    await this.#parts.ledger.lines.hold('grants', id)
    // What was found may have been minted meanwhile, for a connection that is gone.
    return this.#parts.exclusively(id, async () =>
      this.#parts.waiting.goOn(session, await this.#parts.ledger.read.grant(id)),
    )
  }

  /** What policy says today to what is asked for the first time. */
  async #assess(session: Session, request: ResolvedRequest): Promise<Assessment> {
    return this.#parts.decider.assess(session, request, await this.#parts.evidence(request))
  }

  #decided(
    session: Session,
    asked: NewRequest,
    answer: Answer & { decisions: readonly TargetDecision[] },
  ): DecidedRequest {
    return decidedRequest(session, asked, {
      ...answer,
      policyVersion: this.#parts.decider.current.version,
    })
  }

  #lapsesAt(): number {
    return this.#parts.store.now() + this.#parts.config.approval.lapse * 1000
  }

  /**
   * Asks ahead: what is permitted may be used later, with {@link WaitingRequests.redeem}, and what is wanted first
   * may be had until then. The same key and details from the same session are the same request.
   * @throws JitError `denied`; as {@link request}
   */
  async askAhead(sid: string, { key, details }: GrantRequest): Promise<LedgerGrant> {
    const { ledger, sessions, config, store } = this.#parts
    const session = await sessions.get(sid)
    const request = resolveRequest(details, session, this.#parts)
    const before = await this.#before(sid, key, request)
    if (before && before.row.state !== 'denied') return before
    const assessment = await this.#assess(session, request)
    const asked = { id: before?.row.id ?? `g_${newId(store.now())}`, key, request }
    if (assessment.kind === 'denied') {
      const decided = this.#decided(session, asked, assessment)
      if (!before) await ledger.grants.record(decided, [], config.limits)
      const denial = this.#parts.decider.explain(request, assessment)
      throw requestDenied({ ...denial, grant: asked.id })
    }
    if (before) throw grantEnded(before.row.id)
    const nothing = { obligation: { approvals: [] }, wantedBy: [] }
    const { obligation, wantedBy } = assessment.kind === 'waits' ? assessment : nothing
    const waiting = { obligation, wantedBy, lapsesAt: this.#lapsesAt(), attended: false }
    const { decisions } = assessment
    const decided = this.#decided(session, asked, { kind: 'waits', decisions, ...waiting })
    if (await ledger.grants.record(decided, [], config.limits)) return ledger.read.grant(asked.id)
    return this.askAhead(sid, { key, details })
  }
}
