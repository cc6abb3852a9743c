import { AsyncLocalStorage } from 'node:async_hooks'
import { type RawData, WebSocket } from 'ws'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import { tracing } from '../lib/tracing.ts'
import { LIFELINE_CLOSE, PINGS_LOST } from '../protocol/lifeline.ts'
import { parseJson, type Schema } from '../protocol/parse.ts'
import type { Problem } from '../protocol/problem.ts'
import type { Log } from './log.ts'
import { problemOf } from './problem.ts'
import type { Metrics } from './telemetry/metrics.ts'

/** A connection that asks for nothing is closed after so many milliseconds. */
const IDLE_MS = 30_000

/** Messages that may wait while one is worked on: no client has more to say. */
const MAX_WAITING = 16

/** Bytes that may wait for a client to read them: a few of the largest messages. */
const MAX_UNREAD = 1024 * 1024

/** How long a client that is cut off may take to read that it is, in milliseconds. */
const PARTING_MS = 1000

export interface ChannelParts<Taken> {
  readonly schema: Schema<Taken>
  /** What is on it, for errors: `lifeline`. */
  readonly name: string
  readonly log: Log
  /** Counts a message or a ping. @throws JitError `limit_reached` */
  readonly admit: () => void
  readonly metrics: Pick<Metrics, 'refused'>
  readonly handle: (message: Taken) => Promise<void>
  /** A message didn't succeed; its sender has been told. */
  readonly failed: (message: Taken, code: ErrorCode) => void
  readonly pong?: (payload: string) => void
  readonly closed: () => void
}

/**
 * A WebSocket of an authenticated client that carries one thing: messages are taken one after the
 * other, each parsed or refused; silence, floods and lost clients end it.
 */
export class Channel<Taken extends { readonly type: string }, Sent> {
  readonly #socket: WebSocket
  readonly #parts: ChannelParts<Taken>
  readonly #idle: NodeJS.Timeout
  /** What is done for it is done in the request that it began as. */
  readonly #within = AsyncLocalStorage.snapshot()
  #work: Promise<void> = Promise.resolve()
  #asked = false
  #waiting = 0
  #missed = 0

  constructor(socket: WebSocket, parts: ChannelParts<Taken>) {
    this.#socket = socket
    this.#parts = parts
    this.#idle = setTimeout(() => this.close(LIFELINE_CLOSE.badMessage), IDLE_MS)
    socket.on('message', (data, isBinary) => {
      this.#waiting += 1
      if (this.#admits()) this.queue(() => this.#take(data, isBinary))
    })
    socket.on('ping', (payload) => {
      if (!this.#admits()) return
      socket.pong(payload)
      this.#checkUnread()
    })
    socket.on('pong', (payload) => {
      // Nobody asked for it.
      if (this.#missed === 0 && !this.#admits()) return
      this.#missed = 0
      parts.pong?.(String(payload))
    })
    socket.on('error', () => socket.terminate())
    socket.on('close', () => {
      clearTimeout(this.#idle)
      parts.closed()
    })
  }

  /** Whether somebody is there to be told. */
  get open(): boolean {
    return this.#socket.readyState === WebSocket.OPEN
  }

  /** What it is there for has been asked; once. @throws JitError `request_invalid` */
  begin(carried: string): void {
    if (this.#asked) {
      throw new JitError('request_invalid', `a ${this.#parts.name} carries one ${carried}`)
    }
    this.#asked = true
    clearTimeout(this.#idle)
  }

  /** Does something after what is being worked on. */
  queue(work: () => Promise<void>): void {
    this.#work = this.#work.then(() => this.#within(work))
  }

  /** @param patient whether a client that doesn't answer is kept all the same */
  ping({ patient = false, payload = '' } = {}): void {
    if (this.#missed >= PINGS_LOST && !patient) {
      this.terminate()
      return
    }
    this.#missed += 1
    this.#socket.ping(payload)
  }

  send(message: Sent): void {
    this.#say(message)
  }

  #say(message: Sent | { readonly type: 'problem'; readonly problem: Problem }): void {
    if (!this.open) return
    this.#socket.send(JSON.stringify(message))
    this.#checkUnread()
  }

  /** Whether one more message is taken; if not, that was the last one. */
  #admits(): boolean {
    if (!this.open) return false
    try {
      this.#parts.admit()
      if (this.#waiting <= MAX_WAITING) return true
    } catch (thrown) {
      if (JitError.from(thrown).code !== 'limit_reached') throw thrown
    }
    this.#cutOff()
    return false
  }

  /** What a client doesn't read is kept in memory for it, and it may send what is answered without end. */
  #checkUnread(): void {
    if (this.#socket.bufferedAmount > MAX_UNREAD) this.#cutOff()
  }

  /** The client may come back; whatever else it sends on this connection is not even read. */
  #cutOff(): void {
    this.#socket.close(LIFELINE_CLOSE.overrun)
    this.#socket.pause()
    setTimeout(() => this.#socket.terminate(), PARTING_MS).unref()
  }

  close(code: number): void {
    this.#socket.close(code)
  }

  /** Cuts the connection off, whether or not the other side answers. */
  terminate(): void {
    this.#socket.terminate()
  }

  /** Says what went wrong. */
  refuse(thrown: unknown, more: Partial<Problem> = {}): void {
    const error = JitError.from(thrown)
    const { name, log, metrics } = this.#parts
    metrics.refused(error.code)
    if (error.code === 'internal') {
      log.error(`a ${name} failed`, { reason: error.message, stack: error.stack })
    }
    this.#say({ type: 'problem', problem: { ...problemOf(error), ...more } })
  }

  async #take(data: RawData, isBinary: boolean): Promise<void> {
    this.#waiting -= 1
    // What came behind a message that closed the connection takes no effect.
    if (!this.open) return
    const { schema, name, handle, failed } = this.#parts
    let message: Taken
    try {
      if (isBinary) throw new JitError('request_invalid', `${name} message: expected text`)
      message = parseJson(schema, String(data), { what: `${name} message` })
    } catch (thrown) {
      this.refuse(thrown)
      this.close(LIFELINE_CLOSE.badMessage)
      return
    }
    try {
      await tracing.during(`${name}: ${message.type}`, {}, () => handle(message))
    } catch (thrown) {
      this.refuse(thrown)
      failed(message, JitError.from(thrown).code)
    }
  }
}
