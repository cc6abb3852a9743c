import { setTimeout as wait } from 'node:timers/promises'
import { JitError } from '../lib/errors.ts'
import type { Approval } from '../protocol/approval.ts'
import type { EndedBy, Receipt } from '../protocol/grant.ts'
import type { Principal } from '../protocol/principal.ts'
import type { ClaimedContext, GrantRequest } from '../protocol/request.ts'
import { asShown, hashOfSubject, subjectOf } from './approval-subject.ts'
import type { BrokerParts } from './broker.ts'
import { Deadlines } from './deadlines.ts'
import { Decider, type Evidence, evidenceOf } from './decider.ts'
import { Exclusively } from './exclusively.ts'
import { Intake } from './intake.ts'
import { type Handover, Issuer, type ResumeRequest } from './issuer.ts'
import type { Ending } from './ledger/grant-ledger.ts'
import { approvalView, type LedgerGrant } from './ledger/rows.ts'
import { Renewals } from './renewal.ts'
import type { ResolvedRequest } from './requests.ts'
import type { GrantRow } from './store/schema.ts'
import { type RedeemRequest, type RequestOutcome, WaitingRequests } from './waiting-requests.ts'

/** How long a release waits for the targets before the receipt says `retrying`, in milliseconds. */
const RECEIPT_WAIT_MS = 4500

/** What is told of grants to whoever holds their lifelines. */
export interface GrantListener {
  /** It ended by anything but its own client's release. */
  ended(grant: string, ending: { by: EndedBy; reason: string }): void
  /** What a request waited for may be there now. */
  decided(grant: string): void
  /** A request that waited is over. */
  refused(grant: string, error: JitError): void
}

const REASONS: Readonly<Record<EndedBy, string>> = {
  exit: 'the command has ended',
  ttl: 'its time is over',
  lifeline: 'the connection to the client was lost',
  revoked: 'it was revoked',
  context: 'its context changed',
  policy: 'policy does not permit it any more',
  session: 'the session has ended',
}

/**
 * Grants from request to receipt: what asks for them is the {@link Intake}'s, what begins them the
 * {@link Issuer}'s, what ends them is here.
 */
export class Grants {
  readonly #parts: BrokerParts
  readonly #decider: Decider
  readonly #deadlines: Deadlines
  readonly #issuer: Issuer
  readonly #intake: Intake
  readonly #waiting: WaitingRequests
  readonly #renewals: Renewals
  readonly #one = new Exclusively()
  #listener: GrantListener = { ended() {}, decided() {}, refused() {} }
  #draining = false

  constructor(parts: BrokerParts) {
    this.#parts = parts
    this.#decider = new Decider(parts)
    this.#deadlines = new Deadlines({
      log: parts.log,
      end: (grant) => this.end(grant, { by: 'ttl' }),
    })
    this.#issuer = new Issuer({
      ...parts,
      decider: this.#decider,
      end: (grant, ending) => this.end(grant, ending),
      endAnyway: (grant, ending) => this.endAnyway(grant, ending),
      evidence: (request, row) => this.evidence(request, row),
      admit: () => this.#admit(),
      activated: (grant, expiresAt) => this.#watchDeadline(grant, expiresAt),
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
      end: (grant, ending) => this.end(grant, ending),
      evidence: (request, row, approvals) => this.evidence(request, row, approvals),
      renewed: (grant, expiresAt) => this.#watchDeadline(grant, expiresAt),
    })
  }

  /** @param listener takes the place of the one before */
  listen(listener: GrantListener): void {
    this.#listener = listener
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
  resume(sid: string, asked: ResumeRequest, onAccepted: () => void): Promise<Handover> {
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

  /** What a request waited for may be there now: whoever holds its lifeline is told. */
  decided(grant: string): void {
    this.#listener.decided(grant)
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

  /**
   * Ends a request that waits, or is being minted.
   * @param by who did, where that isn't its own principal; `attended`: only one that ends with its connection
   * @returns whether it was this call
   */
  async refuse(
    grant: string,
    error: JitError,
    by: { actor?: Principal | undefined; attended?: boolean } = {},
  ): Promise<boolean> {
    const { code, message } = error
    const leases = await this.#parts.ledger.grants.refuse(grant, { code, message }, by)
    if (!leases) return false
    this.#parts.revoker.undo(leases)
    this.#listener.refused(grant, error)
    return true
  }

  #issue<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.#one.run(key, async () => {
      this.#admit()
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

  /**
   * Ends an active grant and begins to revoke it; whoever is first decides why it ended.
   * @returns whether it was this call
   */
  async end(grant: string, ending: Ending): Promise<boolean> {
    const { ledger, revoker, failpoint } = this.#parts
    const leases = await ledger.grants.end(grant, ending)
    if (!leases) return false
    failpoint('revoke:recorded')
    this.#deadlines.forget(grant)
    revoker.undo(leases)
    this.#listener.ended(grant, { by: ending.by, reason: ending.reason ?? REASONS[ending.by] })
    return true
  }

  /** Ends a grant in whatever state it is; a request that was asked ahead has no connection to lose. */
  async endAnyway(grant: string, ending: Ending): Promise<void> {
    if (await this.end(grant, ending)) return
    const { by, actor } = ending
    const error = new JitError('grant_ended', REASONS[by])
    await this.refuse(grant, error, { actor, attended: by === 'lifeline' })
  }

  /** What became of an ended grant, once each of its leases had an attempt (or 4.5 s went by). */
  async receipt(grant: string): Promise<Receipt> {
    const { ledger, revoker } = this.#parts
    const { leases } = await ledger.read.grant(grant)
    await revoker.attempted(leases, RECEIPT_WAIT_MS)
    return ledger.read.receipt(grant)
  }

  /** Ends what is past its deadline by the store's clock, whatever the timers say. */
  async endExpired(): Promise<void> {
    for (const grant of await this.#parts.ledger.read.expired()) {
      await this.end(grant, { by: 'ttl' })
    }
  }

  /** Ends the grants of sessions that have ended. */
  async endWithSessions(): Promise<void> {
    for (const grant of await this.#parts.ledger.read.ofEndedSessions()) {
      await this.endAnyway(grant, { by: 'session' })
    }
  }

  /** Takes up what an earlier process left: deadlines first. @returns grants that wait for their lifeline */
  async takeUp(): Promise<string[]> {
    const { ledger } = this.#parts
    await this.endExpired()
    const live = (await ledger.read.live()).filter(({ row }) => row.state !== 'revoking')
    const waiting = [...live, ...(await ledger.read.waiting())]
    for (const { row } of waiting) {
      if (row.expires_at !== null) this.#watchDeadline(row.id, row.expires_at)
    }
    return waiting.map(({ row }) => row.id)
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
      await this.refuse(row.id, new JitError('grant_ended', 'the broker is stopping'))
    }
    for (const { row } of await ledger.read.live()) {
      await this.endAnyway(row.id, { by: 'lifeline' })
    }
    for (;;) {
      const open = await ledger.read.unrevoked()
      if (open.length === 0 || performance.now() > deadline) return open
      await wait(50)
    }
  }

  #watchDeadline(grant: string, expiresAt: number): void {
    this.#deadlines.watch(grant, expiresAt - this.#parts.store.now())
  }

  stop(): void {
    this.#deadlines.stop()
  }
}
