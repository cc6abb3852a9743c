import { JitError } from '../lib/errors.ts'
import type { ClaimedContext, Command } from '../protocol/request.ts'
import type { Decider, Evidence } from './decider.ts'
import { grantEnded, noSuchGrant, requestLapsed } from './grant-errors.ts'
import type { Handover, Issuer } from './issuer.ts'
import type { Waiting } from './ledger/decided-request.ts'
import type { Use } from './ledger/request-ledger.ts'
import { isOver, isWaiting, type LedgerGrant, principalOf } from './ledger/rows.ts'
import type { BrokerParts } from './parts.ts'
import { checkSame, checkTtl, claimedBy, type ResolvedRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { GrantRow } from './store/schema.ts'

/** The answer to a request. */
export type RequestOutcome =
  | { readonly kind: 'granted'; readonly handover: Handover }
  | {
      readonly kind: 'denied'
      readonly message: string
      readonly hint: string
      readonly policies: readonly string[]
    }
  /** Policy wants something first. */
  | ({ readonly kind: 'pending'; readonly grant: string } & Omit<Waiting, 'attended'>)

/** What uses a request that was asked ahead. */
export interface RedeemRequest {
  readonly grant: string
  readonly claimed: ClaimedContext
  readonly command: Command
}

/** What requests are answered with. */
export interface RequestParts extends BrokerParts {
  readonly decider: Decider
  readonly issuer: Issuer
  /** What is known beside the client's word; with a row, its approvals too. */
  readonly evidence: (request: ResolvedRequest, row?: GrantRow) => Promise<Evidence>
  /** Throws once nothing new is granted any more. */
  readonly admit: () => void
}

/** Requests that waited, decided again: approved, signed in anew, or used after they were asked ahead. */
export class WaitingRequests {
  readonly #parts: RequestParts

  constructor(parts: RequestParts) {
    this.#parts = parts
  }

  /**
   * Uses a request that was asked ahead; who, what and where must be what it was asked for. A try
   * that is refused doesn't use it up.
   * @throws JitError `not_found`, `request_changed`, `request_lapsed`, `grant_ended`, `limit_reached`, `target_*`
   */
  async redeem(
    sid: string,
    { grant, claimed, command }: RedeemRequest,
    onResolved: (id: string, request: ResolvedRequest) => void,
  ): Promise<RequestOutcome> {
    const session = await this.#parts.sessions.get(sid)
    const found = await this.#parts.ledger.read.grant(grant)
    const { row } = found
    if (!isAsker(session, row)) throw noSuchGrant(grant)
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
    return this.goOn(session, found)
  }

  /**
   * Goes on with a request that waited, now that something has changed: approved, signed in anew.
   * @throws JitError `grant_ended`, `request_lapsed`, `limit_reached`, `target_*`
   */
  async proceed(sid: string, grant: string): Promise<RequestOutcome> {
    const session = await this.#parts.sessions.get(sid)
    // Asked for again on a newer connection, at another node: that one goes on.
    const elsewhere = await this.#parts.ledger.lines.elsewhere([grant])
    if (elsewhere.length > 0) throw grantEnded(grant)
    return this.goOn(session, await this.#parts.ledger.read.grant(grant))
  }

  /**
   * A request that waits is decided again; one that is being minted, or was, gets new leases.
   * @throws JitError `grant_ended`, `request_lapsed`, `limit_reached`, `target_*`
   */
  async goOn(session: Session, found: LedgerGrant): Promise<RequestOutcome> {
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
    const { decisions } = assessment
    const policyVersion = decider.current.version
    if (assessment.kind === 'denied') {
      const denied = decider.explain(request, assessment)
      await ledger.requests.denied(row, { session, policy_version: policyVersion, decisions })
      const error = new JitError('denied', denied.message)
      if (row.attended === 1) await this.#parts.issuer.giveUp(id, error)
      return { kind: 'denied', ...denied }
    }
    if (assessment.kind === 'waits') {
      await ledger.requests.want(row, assessment, { decisions, policyVersion })
      const { obligation, wantedBy } = assessment
      return { kind: 'pending', grant: id, obligation, wantedBy, lapsesAt }
    }
    const { approvers } = evidence
    return this.#take(session, { row, request, decided: { decisions, policyVersion, approvers } })
  }

  /** Mints what waited, now that policy permits it; what changed meanwhile is decided again. */
  async #take(
    session: Session,
    asked: {
      row: GrantRow
      request: ResolvedRequest
      decided: Pick<Use, 'decisions' | 'policyVersion' | 'approvers'>
    },
  ): Promise<RequestOutcome> {
    const { ledger, config, failpoint } = this.#parts
    const { row, request, decided } = asked
    checkTtl(request.ttlSeconds, request.members)
    const { sid, principal } = session
    const targets = await this.#parts.issuer.targets(request)
    this.#parts.admit()
    const use = { ...decided, sid, principal, targets }
    failpoint('request:permitted')
    const intents = await ledger.requests.take(row.id, use, config.limits)
    if (!intents) return this.goOn(session, await ledger.read.grant(row.id))
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
