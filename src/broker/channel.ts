import { type RawData, WebSocket } from 'ws'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import { LIFELINE_CLOSE, PINGS_LOST } from '../protocol/lifeline.ts'
import { parseJson, type Schema } from '../protocol/parse.ts'
import type { Problem } from '../protocol/problem.ts'
import type { Log } from './log.ts'
import { problemOf } from './problem.ts'

/** A connection that asks for nothing is closed after so many milliseconds. */
const IDLE_MS = 30_000

/** Messages that may wait while one is worked on: no client has more to say. */
const MAX_WAITING = 16

export interface ChannelParts<Taken> {
  readonly schema: Schema<Taken>
  /** What is on it, for errors: `lifeline`. */
  readonly name: string
  readonly log: Log
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
export class Channel<Taken, Sent> {
  readonly #socket: WebSocket
  readonly #parts: ChannelParts<Taken>
  readonly #idle: NodeJS.Timeout
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
      if (this.#waiting > MAX_WAITING) return socket.terminate()
      this.queue(() => this.#take(data, isBinary))
    })
    socket.on('pong', (payload) => {
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
    this.#work = this.#work.then(work)
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
    if (this.open) this.#socket.send(JSON.stringify(message))
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
    const { name, log } = this.#parts
    if (error.code === 'internal') {
      log.warn(`a ${name} failed`, { reason: error.message, stack: error.stack })
    }
    if (!this.open) return
    this.#socket.send(
      JSON.stringify({ type: 'problem', problem: { ...problemOf(error), ...more } }),
    )
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
      await handle(message)
    } catch (thrown) {
      this.refuse(thrown)
      failed(message, JitError.from(thrown).code)
    }
  }
}
