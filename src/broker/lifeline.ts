import type { WebSocket } from 'ws'
import { toTimestamp } from '../lib/clock.ts'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import type { EndedBy } from '../protocol/grant.ts'
import { ClientMessage, LIFELINE_CLOSE, type ServerMessage } from '../protocol/lifeline.ts'
import { Channel } from './channel.ts'
import type { BrokerConfig } from './config/config.ts'
import type { Failpoints } from './failpoints.ts'
import { ENDINGS, requestDenied } from './grant-errors.ts'
import type { Grants } from './grants.ts'
import type { Handover } from './issuer.ts'
import type { Log } from './log.ts'
import type { RateLimits } from './rate-limits.ts'
import type { ResolvedRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { Metrics } from './telemetry/metrics.ts'
import type { RequestOutcome } from './waiting-requests.ts'

/** Pongs after which a suspended client counts as awake: one may answer a ping from before. */
const PONGS_TO_WAKE = 2

/** The payload of the ping behind `resumed`. */
const RESUMED = 'resumed'

/** What makes a resume hopeless; after anything else the client comes back. */
const FINAL: readonly ErrorCode[] = ['grant_ended', 'not_found', 'session_ended', 'denied']

export interface LifelineParts {
  readonly config: Pick<BrokerConfig, 'lifeline'>
  readonly grants: Grants
  readonly log: Log
  readonly rates: RateLimits
  readonly metrics: Pick<Metrics, 'refused'>
  readonly failpoint: Failpoints
  readonly session: Session
  readonly hold: (grant: string) => void
  /** A grant went on although this connection is gone: unless another has it, it gets the grace. */
  readonly lost: (grant: string) => void
  /** Whether no newer connection took the grant over. */
  readonly holds: (grant: string) => boolean
  readonly closed: () => void
}

/** One connection, and the one grant it carries. */
export class Lifeline {
  readonly #channel: Channel<ClientMessage, ServerMessage>
  readonly #parts: LifelineParts
  #grant: string | undefined
  #over = false
  #handedOver = false
  /** For what policy wants before it permits. */
  #waits = false
  #renewing = false
  #suspendedUntil = 0
  #pongsSinceSuspend = 0

  constructor(socket: WebSocket, parts: LifelineParts) {
    this.#parts = parts
    this.#channel = new Channel(socket, {
      schema: ClientMessage,
      name: 'lifeline',
      log: parts.log,
      admit: () => parts.rates.take(parts.session.principal),
      metrics: parts.metrics,
      handle: (message) => this.#handle(message),
      failed: (message, code) => {
        if (!this.#handedOver) this.#giveUp(message, code)
      },
      pong: (payload) => this.#pong(payload),
      closed: parts.closed,
    })
  }

  get sid(): string {
    return this.#parts.session.sid
  }

  get grant(): string | undefined {
    return this.#grant
  }

  /** Whether nothing is left to lose: the receipt was sent, or there never was a grant. */
  get over(): boolean {
    return this.#over
  }

  ping(): void {
    this.#channel.ping({ patient: performance.now() < this.#suspendedUntil })
  }

  #pong(payload: string): void {
    this.#pongsSinceSuspend += 1
    if (this.#pongsSinceSuspend >= PONGS_TO_WAKE) this.#suspendedUntil = 0
    if (payload === RESUMED) this.#settleResume()
  }

  close(code: number): void {
    this.#channel.close(code)
  }

  /** Cuts the connection off, whether or not the other side answers. */
  terminate(): void {
    this.#channel.terminate()
  }

  /** The broker ended the grant: the client is told to stop the child, then what came of it. */
  ended(ending: { by: EndedBy; reason: string }): void {
    const grant = this.#grant
    if (grant === undefined || ending.by === 'exit') return
    this.#tellEnd(grant, ending)
    this.#channel.queue(() => this.#sendReceipt(grant))
  }

  /** What the client itself gave back, it need not be told of. */
  #tellEnd(grant: string, { by, reason }: { by: EndedBy; reason: string }): void {
    if (by !== 'exit') this.#channel.send({ type: 'revoked', grant, ended_by: by, reason })
  }

  /** Nothing came of a request or resume. */
  #giveUp(message: ClientMessage, code: ErrorCode): void {
    const again = message.type === 'resume' && !FINAL.includes(code)
    this.close(again ? LIFELINE_CLOSE.restarting : LIFELINE_CLOSE.done)
  }

  async #handle(message: ClientMessage): Promise<void> {
    switch (message.type) {
      case 'request':
        return this.#request(message)
      case 'redeem':
        return this.#redeem(message)
      case 'resume':
        return this.#resume(message)
      case 'continue':
        this.#own(message.grant)
        return this.#proceed()
      case 'detach':
        return this.#detach(message.grant)
      case 'received':
        this.#own(message.grant)
        return this.#parts.grants.received(message.grant)
      case 'renew':
        this.#own(message.grant)
        void this.#renew(message.grant)
        return
      case 'context':
        this.#own(message.grant)
        return this.#parts.grants.moved(this.sid, message.grant, message.claimed)
      case 'suspend':
        this.#own(message.grant)
        this.#pongsSinceSuspend = 0
        this.#suspendedUntil = performance.now() + this.#parts.config.lifeline.suspendGrace * 1000
        return
      case 'release':
        return this.#release(message)
    }
  }

  #own(grant: string): void {
    if (grant === this.#grant && this.#parts.holds(grant)) return
    throw new JitError('request_invalid', 'this grant is not on this lifeline')
  }

  async #request({ key, details }: Extract<ClientMessage, { type: 'request' }>): Promise<void> {
    this.#channel.begin('grant')
    const { grants, session } = this.#parts
    const outcome = await grants.request(session.sid, { key, details }, (grant, request) =>
      this.#resolved(grant, request),
    )
    this.#answer(outcome)
  }

  async #redeem(message: Extract<ClientMessage, { type: 'redeem' }>): Promise<void> {
    this.#channel.begin('grant')
    const { grants, session } = this.#parts
    this.#answer(
      await grants.redeem(session.sid, message, (grant, request) => this.#resolved(grant, request)),
    )
  }

  /** Says how the request was understood; from here on it lives on this connection. */
  #resolved(grant: string, request: ResolvedRequest): void {
    this.#hold(grant)
    this.#channel.send({
      type: 'requested',
      grant,
      environment: request.environment,
      tier: request.tier,
      task: request.task,
      targets: request.members.map(({ target }) => target.name),
      ttl: request.ttlSeconds,
    })
  }

  #answer(outcome: RequestOutcome): void {
    this.#waits = outcome.kind === 'pending'
    if (outcome.kind === 'granted') {
      this.#handOver('granted', outcome.handover)
      this.#parts.failpoint('mint:delivered')
    } else if (outcome.kind === 'pending') {
      const { grant, obligation, wantedBy, lapsesAt } = outcome
      const lapses_at = toTimestamp(lapsesAt)
      this.#channel.send({ type: 'pending', grant, obligation, policies: [...wantedBy], lapses_at })
    } else {
      this.#channel.refuse(requestDenied(outcome), { policies: [...outcome.policies] })
      this.#over = true
      this.close(LIFELINE_CLOSE.done)
    }
  }

  /** What the request waits for may be there. */
  decided(): void {
    this.#channel.queue(async () => {
      if (!this.#waits || !this.#channel.open) return
      try {
        await this.#proceed()
      } catch (thrown) {
        this.#channel.refuse(thrown)
        if (!this.#handedOver) this.close(LIFELINE_CLOSE.done)
      }
    })
  }

  /** The request that waited is over. */
  refused(error: JitError): void {
    if (this.#handedOver || this.#over) return
    this.#waits = false
    this.#over = true
    this.#channel.refuse(error)
    this.close(LIFELINE_CLOSE.done)
  }

  async #proceed(): Promise<void> {
    const grant = this.#grant
    if (grant === undefined || !this.#waits) return
    const { grants, session } = this.#parts
    const approvals = await grants.approvals(grant)
    if (approvals.length > 0) this.#channel.send({ type: 'approved', grant, approvals })
    this.#answer(await grants.proceed(session.sid, grant))
  }

  async #detach(grant: string): Promise<void> {
    this.#own(grant)
    await this.#parts.grants.detach(grant)
    this.#over = true
    this.close(LIFELINE_CLOSE.done)
  }

  async #resume(message: Extract<ClientMessage, { type: 'resume' }>): Promise<void> {
    this.#channel.begin('grant')
    const { grants, session } = this.#parts
    const { grant } = message
    const resumption = await grants.resume(session.sid, message, () => this.#hold(grant))
    if (resumption.kind === 'over') {
      this.#tellEnd(grant, { by: resumption.endedBy, reason: ENDINGS[resumption.endedBy] })
      return this.#sendReceipt(grant)
    }
    this.#handOver('resumed', resumption.handover)
    this.#channel.ping({ patient: true, payload: RESUMED })
  }

  /** A pong comes after what was sent before its ping: the new secret is there. */
  #settleResume(): void {
    const grant = this.#grant
    if (grant === undefined || !this.#parts.holds(grant)) return
    this.#parts.grants.resumeArrived(grant).catch((thrown: unknown) => {
      this.#parts.log.warn('a resume could not be recorded', { reason: String(thrown) })
    })
  }

  /** From here on it is this connection that the grant lives on, and with it that it is lost. */
  #hold(grant: string): void {
    this.#grant = grant
    this.#parts.hold(grant)
    // Closed meanwhile: nobody will say so again.
    if (!this.#channel.open) this.#parts.closed()
  }

  #handOver(type: 'granted' | 'resumed', handover: Handover): void {
    this.#handedOver = true
    if (!this.#channel.open) this.#parts.lost(handover.grant)
    this.#channel.send({
      type,
      grant: handover.grant,
      resume_secret: handover.resumeSecret,
      grace: this.#parts.config.lifeline.grace,
      expires_at: toTimestamp(handover.expiresAt),
      credentials: [...handover.credentials],
    })
  }

  /** Beside the other messages: a target that takes its time holds up no release. */
  async #renew(grant: string): Promise<void> {
    if (this.#renewing) return
    this.#renewing = true
    try {
      const expiresAt = await this.#parts.grants.renew(this.sid, grant)
      this.#channel.send({ type: 'renewed', grant, expires_at: toTimestamp(expiresAt) })
    } catch (thrown) {
      // Of its end the client is told otherwise.
      if (JitError.from(thrown).code !== 'grant_ended') this.#channel.refuse(thrown)
    } finally {
      this.#renewing = false
    }
  }

  async #release({ grant, outcome }: Extract<ClientMessage, { type: 'release' }>): Promise<void> {
    this.#own(grant)
    if (!this.#handedOver) throw new JitError('request_invalid', 'nothing was granted yet')
    await this.#parts.grants.ender.end(grant, { by: 'exit', detail: { outcome } })
    await this.#sendReceipt(grant)
  }

  async #sendReceipt(grant: string): Promise<void> {
    if (this.#over) return
    this.#over = true
    try {
      this.#channel.send({
        type: 'released',
        grant,
        receipt: await this.#parts.grants.receipt(grant),
      })
    } catch (thrown) {
      this.#channel.refuse(thrown)
    }
    this.close(LIFELINE_CLOSE.done)
  }
}
