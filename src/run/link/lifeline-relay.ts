import { type RawData, WebSocket } from 'ws'
import type { Clock } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import {
  ClientMessage,
  LIFELINE_CLOSE,
  MAX_MESSAGE_BYTES,
  ServerMessage,
} from '../../protocol/lifeline.ts'
import { parseJson, type Schema } from '../../protocol/parse.ts'
import { Allowance } from './allowance.ts'
import type { AskObserver } from './ask-observer.ts'
import type { InsideMarkers } from './inside-markers.ts'
import type { LinkGrants } from './link-grants.ts'

/** Messages that one command may send: a handful is what any has to say. */
const MESSAGES = { most: 64, perSecond: 4 }
/** Messages that may wait while one is worked on, and bytes for a side that doesn't read. */
const MAX_WAITING = 16
const MAX_UNREAD_BYTES = 4 * MAX_MESSAGE_BYTES
/** RFC 6455 section 7.4.1: come again. */
const SERVICE_RESTART = 1012

export interface LifelineRelayParts {
  readonly grants: LinkGrants
  readonly clock: Clock
  readonly observer: AskObserver
  readonly markers: InsideMarkers
}

/**
 * Joins the lifeline of a command inside to one at the broker. Every message is read both ways; what a
 * port holds of a credential stays here.
 */
export class LifelineRelay {
  readonly #inside: WebSocket
  readonly #upstream: WebSocket
  readonly #parts: LifelineRelayParts
  readonly #allowance: Allowance
  #work: Promise<void> = Promise.resolve()
  #waiting = 0
  #grant: string | undefined

  constructor(inside: WebSocket, upstream: WebSocket, parts: LifelineRelayParts) {
    this.#inside = inside
    this.#upstream = upstream
    this.#parts = parts
    this.#allowance = new Allowance({ ...MESSAGES, clock: parts.clock })
    inside.on('message', (data, isBinary) => this.#fromInside(data, isBinary))
    inside.on('pong', (payload) => this.#pong(payload))
    inside.on('error', () => inside.terminate())
    inside.on('close', () => this.#leave())
    upstream.on('message', (data, isBinary) => this.#fromBroker(data, isBinary))
    upstream.on('ping', (payload) => this.#ping(payload))
    upstream.on('error', () => upstream.terminate())
    upstream.on('close', (code) => this.#left(code))
    // Closed before anybody listened.
    if (upstream.readyState !== WebSocket.OPEN) this.#left(SERVICE_RESTART)
  }

  close(): void {
    this.#inside.terminate()
    this.#upstream.terminate()
  }

  #fromInside(data: RawData, isBinary: boolean): void {
    if (!this.#allowance.take()) {
      this.close()
      return
    }
    const message = read(ClientMessage, { data, isBinary })
    if (!message) {
      this.#inside.close(LIFELINE_CLOSE.badMessage)
      this.#upstream.terminate()
      return
    }
    if (message.type === 'request') this.#parts.observer.asks(this, message.details.command)
    else if (message.type === 'redeem') this.#parts.observer.asks(this, message.command)
    send(this.#upstream, message)
  }

  /** One after the other: a port is open before what follows is told. */
  #fromBroker(data: RawData, isBinary: boolean): void {
    this.#waiting += 1
    if (this.#waiting > MAX_WAITING) {
      this.close()
      return
    }
    this.#work = this.#work
      .then(() => this.#take(data, isBinary))
      .catch(() => this.close())
      .finally(() => {
        this.#waiting -= 1
      })
  }

  async #take(data: RawData, isBinary: boolean): Promise<void> {
    const message = read(ServerMessage, { data, isBinary })
    if (!message) return this.close()
    const { grants, observer, markers } = this.#parts
    if (message.type === 'requested') grants.learn(message.grant)
    if ('grant' in message) this.#grant = message.grant
    observer.answered(this, message)
    markers.answered(this, message)
    if (message.type === 'granted' || message.type === 'resumed') {
      return send(this.#inside, await grants.handOver(message))
    }
    if (message.type === 'renewed') grants.moved(message.grant, message.expires_at)
    // Said at once; the port's end takes its time.
    send(this.#inside, message)
    if (message.type === 'revoked' || message.type === 'released') await grants.end(message.grant)
  }

  #ping(payload: Buffer): void {
    if (this.#inside.readyState === WebSocket.OPEN) this.#inside.ping(payload)
  }

  #pong(payload: Buffer): void {
    if (this.#upstream.readyState === WebSocket.OPEN) this.#upstream.pong(payload)
  }

  /** Nobody is there inside any more: the broker gives the grant its grace, and so do the ports. */
  #leave(): void {
    this.#parts.observer.left(this)
    this.#upstream.terminate()
    this.#lose()
  }

  #left(code: number): void {
    // What came before is told first.
    this.#work = this.#work.then(() => {
      this.#inside.close(isSendable(code) ? code : SERVICE_RESTART)
    })
    if (code === LIFELINE_CLOSE.done) this.#end()
    else this.#lose()
  }

  #lose(): void {
    this.#work = this.#work.then(() => {
      if (this.#grant === undefined) return
      this.#parts.markers.left(this, this.#grant)
      this.#parts.grants.lost(this.#grant)
    })
  }

  #end(): void {
    this.#work = this.#work.then(() =>
      this.#grant === undefined ? undefined : this.#parts.grants.end(this.#grant),
    )
  }
}

function read<T>(
  schema: Schema<T>,
  { data, isBinary }: { data: RawData; isBinary: boolean },
): T | undefined {
  if (isBinary) return undefined
  try {
    return parseJson(schema, String(data), { what: 'lifeline message' })
  } catch (thrown) {
    if (thrown instanceof JitError) return undefined
    throw thrown
  }
}

function send(socket: WebSocket, message: ClientMessage | ServerMessage): void {
  if (socket.readyState !== WebSocket.OPEN) return
  if (socket.bufferedAmount > MAX_UNREAD_BYTES) socket.terminate()
  else socket.send(JSON.stringify(message))
}

/** Codes that say how a connection was lost are never sent (RFC 6455 section 7.4.1). */
const isSendable = (code: number): boolean => code >= 4000 && code < 5000
