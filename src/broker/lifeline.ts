import { type RawData, WebSocket } from 'ws'
import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import {
  ClientMessage,
  LIFELINE_CLOSE,
  PINGS_LOST,
  type ServerMessage,
} from '../protocol/lifeline.ts'
import { parseJson } from '../protocol/parse.ts'
import type { BrokerConfig } from './config/config.ts'
import type { Failpoints } from './failpoints.ts'
import type { Grants, Handover } from './grants.ts'
import type { Log } from './log.ts'
import { problemOf } from './problem.ts'
import type { Session } from './sessions.ts'

/** A connection that asks for nothing is closed after so many milliseconds. */
const IDLE_MS = 30_000

export interface LifelineParts {
  readonly config: Pick<BrokerConfig, 'lifeline'>
  readonly grants: Grants
  readonly log: Log
  readonly failpoint: Failpoints
  readonly session: Session
  readonly hold: (grant: string) => void
  readonly closed: () => void
}

/** One connection, and the one grant it carries. Messages are taken one after the other. */
export class Lifeline {
  readonly #socket: WebSocket
  readonly #parts: LifelineParts
  #work: Promise<void> = Promise.resolve()
  #grant: string | undefined
  #over = false
  #asked = false
  #missed = 0
  #suspendedUntil = 0
  /** A resume was answered, but not yet seen to arrive. */
  #resumed = false
  readonly #idle: NodeJS.Timeout

  constructor(socket: WebSocket, parts: LifelineParts) {
    this.#socket = socket
    this.#parts = parts
    this.#idle = setTimeout(() => this.close(LIFELINE_CLOSE.badMessage), IDLE_MS)
    socket.on('message', (data, isBinary) => {
      this.#work = this.#work.then(() => this.#take(data, isBinary))
    })
    socket.on('pong', () => {
      this.#missed = 0
      this.#suspendedUntil = 0
      this.#settleResume()
    })
    socket.on('error', () => socket.terminate())
    socket.on('close', () => {
      clearTimeout(this.#idle)
      parts.closed()
    })
  }

  get grant(): string | undefined {
    return this.#grant
  }

  /** Whether nothing is left to lose: the receipt was sent, or there never was a grant. */
  get over(): boolean {
    return this.#over
  }

  ping(): void {
    if (this.#missed >= PINGS_LOST && performance.now() >= this.#suspendedUntil) {
      this.#socket.terminate()
      return
    }
    this.#missed += 1
    this.#socket.ping()
  }

  close(code: number): void {
    this.#socket.close(code)
    // A peer that doesn't answer the close is cut off by the ping.
  }

  /** The broker ended the grant: the client is told to stop the child, then what came of it. */
  ended(by: Extract<ServerMessage, { type: 'revoked' }>['ended_by'], reason: string): void {
    const grant = this.#grant
    if (grant === undefined || by === 'exit') return
    this.#send({ type: 'revoked', grant, ended_by: by, reason })
    this.#work = this.#work.then(() => this.#sendReceipt(grant))
  }

  #send(message: ServerMessage): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message))
  }

  async #take(data: RawData, isBinary: boolean): Promise<void> {
    let message: ClientMessage
    try {
      if (isBinary) throw new JitError('request_invalid', 'lifeline message: expected text')
      message = parseJson(ClientMessage, String(data), { what: 'lifeline message' })
    } catch (thrown) {
      this.#refuse(thrown)
      this.close(LIFELINE_CLOSE.badMessage)
      return
    }
    try {
      await this.#handle(message)
    } catch (thrown) {
      this.#refuse(thrown)
      if (this.#grant === undefined) this.close(LIFELINE_CLOSE.done)
    }
  }

  #refuse(thrown: unknown, policies?: readonly string[]): void {
    const error = JitError.from(thrown)
    if (error.code === 'internal') {
      this.#parts.log.warn('a lifeline failed', { reason: error.message, stack: error.stack })
    }
    const problem = { ...problemOf(error), ...(policies ? { policies: [...policies] } : {}) }
    this.#send({ type: 'problem', problem })
  }

  async #handle(message: ClientMessage): Promise<void> {
    switch (message.type) {
      case 'request':
        return this.#request(message)
      case 'resume':
        return this.#resume(message)
      case 'received':
        this.#own(message.grant)
        return this.#parts.grants.received(message.grant)
      case 'suspend':
        this.#own(message.grant)
        this.#suspendedUntil = performance.now() + this.#parts.config.lifeline.suspendGrace * 1000
        return
      case 'release':
        return this.#release(message)
    }
  }

  #begin(): void {
    if (this.#asked) throw new JitError('request_invalid', 'a lifeline carries one grant')
    this.#asked = true
    clearTimeout(this.#idle)
  }

  #own(grant: string): void {
    if (grant === this.#grant) return
    throw new JitError('request_invalid', 'this grant is not on this lifeline')
  }

  async #request({ key, details }: Extract<ClientMessage, { type: 'request' }>): Promise<void> {
    this.#begin()
    const { grants, session, failpoint } = this.#parts
    const outcome = await grants.request(session, { key, details }, (grant, request) => {
      this.#send({
        type: 'requested',
        grant,
        environment: request.environment,
        tier: request.tier,
        task: request.task,
        targets: request.members.map(({ target }) => target.name),
        ttl: request.ttlSeconds,
      })
    })
    if (outcome.kind === 'denied') {
      const hint = 'ask whoever keeps the policies, or ask for less'
      this.#refuse(new JitError('denied', outcome.message, { hint }), outcome.policies)
      this.close(LIFELINE_CLOSE.done)
      return
    }
    this.#handOver('granted', outcome.handover)
    failpoint('mint:delivered')
  }

  async #resume(message: Extract<ClientMessage, { type: 'resume' }>): Promise<void> {
    this.#begin()
    this.#handOver('resumed', await this.#parts.grants.resume(this.#parts.session, message))
    this.#resumed = true
    this.#socket.ping()
  }

  /** A pong comes after what was sent before its ping: the new secret is there. */
  #settleResume(): void {
    if (!this.#resumed || this.#grant === undefined) return
    this.#resumed = false
    this.#parts.grants.resumeArrived(this.#grant).catch((thrown: unknown) => {
      this.#parts.log.warn('a resume could not be recorded', { reason: String(thrown) })
    })
  }

  #handOver(type: 'granted' | 'resumed', handover: Handover): void {
    this.#grant = handover.grant
    this.#parts.hold(handover.grant)
    this.#send({
      type,
      grant: handover.grant,
      resume_secret: handover.resumeSecret,
      grace: this.#parts.config.lifeline.grace,
      expires_at: toTimestamp(handover.expiresAt),
      credentials: [...handover.credentials],
    })
    // Closed while it was being minted: nobody will say so again.
    if (this.#socket.readyState !== WebSocket.OPEN) this.#parts.closed()
  }

  async #release({ grant, outcome }: Extract<ClientMessage, { type: 'release' }>): Promise<void> {
    this.#own(grant)
    await this.#parts.grants.end(grant, { by: 'exit', detail: { outcome } })
    await this.#sendReceipt(grant)
  }

  async #sendReceipt(grant: string): Promise<void> {
    if (this.#over) return
    this.#over = true
    try {
      this.#send({ type: 'released', grant, receipt: await this.#parts.grants.receipt(grant) })
    } catch (thrown) {
      this.#refuse(thrown)
    }
    this.close(LIFELINE_CLOSE.done)
  }
}
