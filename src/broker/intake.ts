import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import type { ClaimedContext, Command, GrantRequest } from '../protocol/request.ts'
import type { BrokerParts } from './broker.ts'
import type { Assessment, Decider, Evidence, TargetDecision } from './decider.ts'
import { grantEnded, requestLapsed } from './grant-errors.ts'
import type { Handover, Issuer } from './issuer.ts'
import {
  type Answer,
  type DecidedRequest,
  decidedRequest,
  type Waiting,
} from './ledger/decided-request.ts'
import type { Use } from './ledger/request-ledger.ts'
import { isOver, isWaiting, type LedgerGrant, principalOf } from './ledger/rows.ts'
import { checkSame, checkTtl, claimedBy, type ResolvedRequest, resolveRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { GrantRow } from './store/schema.ts'

export const DENIED_HINT = 'ask whoever keeps the policies, or ask for less'

/** The answer to a request. */
export type RequestOutcome =
  | { readonly kind: 'granted'; readonly handover: Handover }
  | { readonly kind: 'denied'; readonly message: string; readonly policies: readonly string[] }
  /** Policy wants something first. */
  | ({ readonly kind: 'pending'; readonly grant: string } & Omit<Waiting, 'attended'>)

/** What uses a request that was asked ahead. */
export interface RedeemRequest {
  readonly grant: string
  readonly claimed: ClaimedContext
  readonly command: Command
}

/** A request that is asked for the first time. */
interface NewRequest {
  readonly id: string
  readonly key: string
  readonly request: ResolvedRequest
}

interface IntakeParts extends BrokerParts {
  readonly decider: Decider
  readonly issuer: Issuer
  /** What is known beside the client's word; with a row, its approvals too. */
  readonly evidence: (request: ResolvedRequest, row?: GrantRow) => Promise<Evidence>
  /** One thing at a time for one grant. */
  readonly exclusively: <T>(grant: string, work: () => Promise<T>) => Promise<T>
  /** Throws once nothing new is granted any more. */
  readonly admit: () => void
}

/** From a request to its answer: validate → decide → record; what is permitted is the {@link Issuer}'s. */
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
    return this.#answer(session, { id, key, request })
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

  async #answer(session: Session, asked: NewRequest): Promise<RequestOutcome> {
    const { ledger, config, failpoint } = this.#parts
    const { id, request } = asked
    const assessment = await this.#assess(session, request)
    if (assessment.kind === 'denied') {
      await ledger.grants.record(this.#decided(session, asked, assessment), [], config.limits)
      return { kind: 'denied', ...this.#parts.decider.explain(request, assessment) }
    }
    if (assessment.kind === 'waits') {
      const { obligation, wantedBy } = assessment
      const waiting = { obligation, wantedBy, lapsesAt: this.#lapsesAt(), attended: true }
      const decided = this.#decided(session, asked, { ...assessment, ...waiting })
      await ledger.grants.record(decided, [], config.limits)
      failpoint('request:pending')
      return { kind: 'pending', grant: id, ...waiting }
    }
    const decided = this.#decided(session, asked, assessment)
    const targets = await this.#parts.issuer.targets(decided.targets).catch(async (thrown) => {
      // It was permitted, and that is recorded although nothing comes of it.
      await ledger.grants.record(decided, [], config.limits)
      throw await this.#parts.issuer.giveUp(id, JitError.from(thrown))
    })
    this.#parts.admit()
    const intents = await ledger.grants.record(decided, targets, config.limits)
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
    // What was found may have been minted meanwhile, for a connection that is gone.
    return this.#parts.exclusively(id, async () =>
      this.#goOn(session, await this.#parts.ledger.read.grant(id)),
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
   * Asks ahead: what is permitted may be used later, with {@link redeem}, and what is wanted first
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
      const { message } = this.#parts.decider.explain(request, assessment)
      throw new JitError('denied', message, { hint: DENIED_HINT })
    }
    if (before) throw grantEnded(before.row.id)
    const nothing = { obligation: { approvals: [] }, wantedBy: [] }
    const { obligation, wantedBy } = assessment.kind === 'waits' ? assessment : nothing
    const waiting = { obligation, wantedBy, lapsesAt: this.#lapsesAt(), attended: false }
    const { decisions } = assessment
    const decided = this.#decided(session, asked, { kind: 'waits', decisions, ...waiting })
    await ledger.grants.record(decided, [], config.limits)
    return ledger.read.grant(asked.id)
  }

  /**
   * Uses a request that was asked ahead; who, what and where must be what it was asked for. A try
   * that is refused doesn't use it up.
   * @throws JitError `not_found`, `request_changed`, `request_lapsed`, `grant_ended`; as {@link request}
   */
  async redeem(
    sid: string,
    { grant, claimed, command }: RedeemRequest,
    onResolved: (id: string, request: ResolvedRequest) => void,
  ): Promise<RequestOutcome> {
    const session = await this.#parts.sessions.get(sid)
    const found = await this.#parts.ledger.read.grant(grant)
    const { row } = found
    if (!isAsker(session, row)) throw notFound(grant)
    if (!isOpenTo(session, found)) throw grantEnded(grant)
    const request = this.#parts.decider.recorded(row)
    try {
      const now = { ...session.signed, claimed: claimedBy(session, claimed), command }
      checkSame(request.context, now)
    } catch (thrown) {
      const { code, message } = JitError.from(thrown)
      await this.#parts.ledger.requests.denied(row, { session, reason: { code, message } })
      throw thrown
    }
    onResolved(grant, request)
    return this.#goOn(session, found)
  }

  /**
   * Goes on with a request that waited, now that something has changed: approved, signed in anew.
   * @throws JitError `grant_ended`, `request_lapsed`; as {@link request}
   */
  async proceed(sid: string, grant: string): Promise<RequestOutcome> {
    const session = await this.#parts.sessions.get(sid)
    return this.#goOn(session, await this.#parts.ledger.read.grant(grant))
  }

  /** A request that waits is decided again; one that is being minted, or was, gets new leases. */
  async #goOn(session: Session, found: LedgerGrant): Promise<RequestOutcome> {
    const { row } = found
    if (!isOpenTo(session, found)) throw grantEnded(row.id)
    if (isWaiting(row)) return this.#decideAgain(session, row)
    return { kind: 'granted', handover: await this.#parts.issuer.reissue(session, found) }
  }

  async #decideAgain(session: Session, row: GrantRow): Promise<RequestOutcome> {
    const { ledger, decider, store } = this.#parts
    const { id } = row
    const lapsesAt = row.lapses_at ?? row.requested_at
    if (lapsesAt <= store.now()) throw requestLapsed()
    const request = decider.recorded(row)
    const evidence = await this.#parts.evidence(request, row)
    const assessment = decider.assess(session, request, evidence)
    if (assessment.kind === 'denied') {
      const denied = decider.explain(request, assessment)
      const { decisions } = assessment
      await ledger.requests.denied(row, { session, decisions })
      const error = new JitError('denied', denied.message)
      if (row.attended === 1) await this.#parts.issuer.giveUp(id, error)
      return { kind: 'denied', ...denied }
    }
    const { decisions } = assessment
    if (assessment.kind === 'waits') {
      await ledger.requests.want(row, assessment, decisions)
      const { obligation, wantedBy } = assessment
      return { kind: 'pending', grant: id, obligation, wantedBy, lapsesAt }
    }
    const { approvers } = evidence
    return this.#take(session, { row, request, decided: { decisions, approvers } })
  }

  /** Mints what waited, now that policy permits it; what changed meanwhile is decided again. */
  async #take(
    session: Session,
    asked: {
      row: GrantRow
      request: ResolvedRequest
      decided: Pick<Use, 'decisions' | 'approvers'>
    },
  ): Promise<RequestOutcome> {
    const { ledger, decider, config, failpoint } = this.#parts
    const { row, request, decided } = asked
    checkTtl(request.ttlSeconds, request.members)
    const { sid, principal } = session
    const policyVersion = decider.current.version
    const targets = await this.#parts.issuer.targets(
      request.members.map(({ target }) => target.name),
    )
    this.#parts.admit()
    const use = { ...decided, sid, principal, policyVersion, targets }
    failpoint('request:permitted')
    const intents = await ledger.requests.take(row.id, use, config.limits)
    if (!intents) return this.#goOn(session, await ledger.read.grant(row.id))
    failpoint('mint:intended')
    const handover = await this.#parts.issuer.mint({ id: row.id, principal, ...request }, intents)
    return { kind: 'granted', handover }
  }
}

/** Whoever asked ahead, in whatever session; of a pipeline, a run that was set off by the same account. */
function isAsker({ principal }: Session, row: GrantRow): boolean {
  const { kind, id, triggered_by } = principalOf(row)
  return kind === principal.kind && id === principal.id && triggered_by === principal.triggered_by
}

/** Whether there is still something to have: it waits, or this session's credentials never arrived. */
function isOpenTo({ sid }: Session, found: LedgerGrant): boolean {
  const { row } = found
  return isWaiting(row) || (row.state !== 'denied' && row.sid === sid && !isOver(found))
}

function notFound(grant: string): JitError {
  return new JitError('not_found', `there is no grant ${grant}`)
}
