import { setTimeout as wait } from 'node:timers/promises'
import { JitError } from '../lib/errors.ts'
import type { Approval } from '../protocol/approval.ts'
import type { Receipt } from '../protocol/grant.ts'
import type { ClaimedContext, GrantRequest } from '../protocol/request.ts'
import { asShown, hashOfSubject, subjectOf } from './approval-subject.ts'
import { Decider, type Evidence, evidenceOf } from './decider.ts'
import { Ender } from './ender.ts'
import { Exclusively } from './exclusively.ts'
import { grantEnded } from './grant-errors.ts'
import { Intake } from './intake.ts'
import { Issuer, type ResumeRequest, type Resumption } from './issuer.ts'
import { approvalView, type LedgerGrant } from './ledger/rows.ts'
import type { BrokerParts } from './parts.ts'
import { Renewals } from './renewal.ts'
import type { ResolvedRequest } from './requests.ts'
import type { GrantRow } from './store/schema.ts'
import { type RedeemRequest, type RequestOutcome, WaitingRequests } from './waiting-requests.ts'

/** How long a release waits for the targets before the receipt says `retrying`, in milliseconds. */
const RECEIPT_WAIT_MS = 4500
/** How often it looks whether another node has tried. */
const UNTRIED_POLL_MS = 50

/**
 * Grants from request to receipt: what asks for them is the {@link Intake}'s, what begins them the
 * {@link Issuer}'s, what ends them the {@link Ender}'s.
 */
export class Grants {
  readonly ender: Ender
  readonly #parts: BrokerParts
  readonly #decider: Decider
  readonly #issuer: Issuer
  readonly #intake: Intake
  readonly #waiting: WaitingRequests
  readonly #renewals: Renewals
  readonly #one = new Exclusively()
  #draining = false

  constructor(parts: BrokerParts) {
    this.#parts = parts
    this.#decider = new Decider(parts)
    this.ender = new Ender(parts)
    this.#issuer = new Issuer({
      ...parts,
      decider: this.#decider,
      ender: this.ender,
      evidence: (request, row) => this.evidence(request, row),
      admit: () => this.#admit(),
    })
    const requestParts = {
      ...parts,
      decider: this.#decider,
      issuer: this.#issuer,
      evidence: (request: ResolvedRequest, row?: GrantRow) => this.evidence(request, row),
      admit: () => this.#admit(),
    }
    this.#waiting = new WaitingRequests(requestParts)
    this.#intake = new Intake({
      ...requestParts,
      waiting: this.#waiting,
      exclusively: (grant, work) => this.#one.run(grant, work),
    })
    this.#renewals = new Renewals({
      ...parts,
      decider: this.#decider,
      ender: this.ender,
      evidence: (request, row, approvals) => this.evidence(request, row, approvals),
    })
  }

  get decider(): Decider {
    return this.#decider
  }

  /** Answers a request: {@link Intake.request}, one at a time for each key. */
  request(
    sid: string,
    asked: GrantRequest,
    onResolved: (id: string, request: ResolvedRequest) => void,
  ): Promise<RequestOutcome> {
    return this.#issue(`${sid}:${asked.key}`, () => this.#intake.request(sid, asked, onResolved))
  }

  /** Hands a grant to a new connection: {@link Issuer.resume}, one at a time for each grant. */
  resume(sid: string, asked: ResumeRequest, onAccepted: () => void): Promise<Resumption> {
    return this.#issue(asked.grant, () => this.#issuer.resume(sid, asked, onAccepted))
  }

  /** Asks ahead: {@link Intake.askAhead}. */
  askAhead(sid: string, asked: GrantRequest): Promise<LedgerGrant> {
    return this.#issue(`${sid}:${asked.key}`, () => this.#intake.askAhead(sid, asked))
  }

  /** Uses what was asked ahead: {@link WaitingRequests.redeem}, one at a time for each grant. */
  redeem(
    sid: string,
    asked: RedeemRequest,
    onResolved: (id: string, request: ResolvedRequest) => void,
  ): Promise<RequestOutcome> {
    return this.#issue(asked.grant, () => this.#waiting.redeem(sid, asked, onResolved))
  }

  /** Goes on with a request that waited: {@link WaitingRequests.proceed}, one at a time for each grant. */
  proceed(sid: string, grant: string): Promise<RequestOutcome> {
    return this.#issue(grant, () => this.#waiting.proceed(sid, grant))
  }

  /** Moves a deadline: {@link Renewals.renew}, one thing at a time for each grant. */
  renew(sid: string, grant: string): Promise<number> {
    return this.#issue(grant, () => this.#renewals.renew(sid, grant))
  }

  /** The client stands elsewhere: {@link Renewals.moved}. */
  moved(sid: string, grant: string, claimed: ClaimedContext): Promise<void> {
    return this.#renewals.moved(sid, grant, claimed)
  }

  /** A request goes on without the connection that asked. */
  async detach(grant: string): Promise<void> {
    if (!(await this.#parts.ledger.requests.detach(grant))) {
      throw new JitError('grant_ended', `grant ${grant} does not wait any more`)
    }
  }

  /** Who said yes so far to a request as it would be minted today. */
  async approvals(grant: string): Promise<Approval[]> {
    const { read } = this.#parts.ledger
    const { row } = await read.grant(grant)
    const hash = hashOfSubject(subjectOf(row, this.#decider.recorded(row)))
    const given = await read.approvals(grant)
    return given.filter(({ subject_hash }) => subject_hash === hash).map(approvalView)
  }

  /**
   * What is known of a request beside its client's word; with a row, its approvals too.
   * @param notBefore approvals given earlier don't count: milliseconds since the epoch
   */
  async evidence(
    request: ResolvedRequest,
    row?: GrantRow,
    { notBefore = 0 }: { notBefore?: number } = {},
  ): Promise<Evidence> {
    const given = row ? await this.#parts.ledger.read.approvals(row.id) : []
    const approvals = given.filter(({ at }) => at >= notBefore)
    const subjectHash = row ? hashOfSubject(subjectOf(row, asShown(row, request))) : ''
    const forge = await this.#parts.forge?.check(request.context.claimed)
    return evidenceOf(approvals, { subjectHash, forge })
  }

  #issue<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.#one.run(key, async () => {
      this.#admit()
      if (this.ender.hasEnded(key)) throw grantEnded(key)
      return work()
    })
  }

  #admit(): void {
    if (this.#draining) throw new JitError('broker_failed', 'the broker is stopping')
  }

  /** A client has the secret that a resume answered with. */
  resumeArrived(grant: string): Promise<void> {
    return this.#parts.ledger.grants.resumeArrived(grant)
  }

  received(grant: string): Promise<void> {
    return this.#parts.ledger.grants.received(grant)
  }

  /** What became of an ended grant, once each of its leases had an attempt (or 4.5 s went by). */
  async receipt(grant: string): Promise<Receipt> {
    const { ledger, revoker, store } = this.#parts
    const { leases } = await ledger.read.grant(grant)
    const deadline = performance.now() + RECEIPT_WAIT_MS
    await revoker.attempted(leases, RECEIPT_WAIT_MS)
    // Another node may have their first attempt in hand.
    while (store.shared && performance.now() < deadline) {
      if (!(await ledger.leases.isUntried(grant))) break
      await wait(UNTRIED_POLL_MS)
    }
    return ledger.read.receipt(grant)
  }

  /**
   * Ends every grant for good, because this ledger won't be opened again: nothing new is granted,
   * and targets are waited for until all confirmed or `milliseconds` are over.
   * @returns the handles that were not confirmed
   */
  async drain(milliseconds: number): Promise<string[]> {
    const { ledger } = this.#parts
    const deadline = performance.now() + milliseconds
    this.#draining = true
    await Promise.race([this.#one.idle(), wait(milliseconds, undefined, { ref: false })])
    for (const { row } of await ledger.read.waiting()) {
      await this.ender.refuse(row.id, new JitError('grant_ended', 'the broker is stopping'))
    }
    for (const { row } of await ledger.read.live()) {
      await this.ender.endAnyway(row.id, { by: 'lifeline' })
    }
    for (;;) {
      const open = await ledger.read.unrevoked()
      if (open.length === 0 || performance.now() > deadline) return open
      await wait(50)
    }
  }
}
