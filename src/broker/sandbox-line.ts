import { type RawData, WebSocket } from 'ws'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import { LIFELINE_CLOSE, PINGS_LOST } from '../protocol/lifeline.ts'
import { parseJson } from '../protocol/parse.ts'
import {
  type Sandbox,
  SandboxClientMessage,
  type SandboxServerMessage,
} from '../protocol/sandbox.ts'
import type { Log } from './log.ts'
import { problemOf } from './problem.ts'
import type { Session } from './sessions.ts'

/** A connection that says nothing is closed after so many milliseconds. */
const IDLE_MS = 30_000
/** Messages that may wait while one is worked on: no supervisor has more to say. */
const MAX_WAITING = 16

/** What makes a `reopen` hopeless; after anything else the supervisor comes back. */
const FINAL: readonly ErrorCode[] = ['grant_ended', 'not_found', 'session_ended', 'denied']

/** What a line leaves to whoever keeps the sandboxes. */
export interface SandboxLineParts {
  readonly log: Log
  readonly session: Session
  readonly open: (asked: Extract<SandboxClientMessage, { type: 'open' }>) => Promise<Sandbox>
  readonly reopen: (sandbox: string) => Promise<Sandbox>
  readonly refused: Refused
  /** The command has ended. */
  readonly close: () => Promise<void>
  readonly closed: () => void
}

type Refused = (
  refusals: Extract<SandboxClientMessage, { type: 'refusals' }>['refusals'],
) => Promise<void>

/** One connection of a sandbox's supervisor. Messages are taken one after the other. */
export class SandboxLine {
  readonly #socket: WebSocket
  readonly #parts: SandboxLineParts
  readonly #idle: NodeJS.Timeout
  #work: Promise<void> = Promise.resolve()
  #asked = false
  #waiting = 0
  #missed = 0

  constructor(socket: WebSocket, parts: SandboxLineParts) {
    this.#socket = socket
    this.#parts = parts
    this.#idle = setTimeout(() => this.close(LIFELINE_CLOSE.badMessage), IDLE_MS)
    socket.on('message', (data, isBinary) => {
      this.#waiting += 1
      if (this.#waiting > MAX_WAITING) return socket.terminate()
      this.#work = this.#work.then(() => this.#take(data, isBinary))
    })
    socket.on('pong', () => {
      this.#missed = 0
    })
    socket.on('error', () => socket.terminate())
    socket.on('close', () => {
      clearTimeout(this.#idle)
      parts.closed()
    })
  }

  get sid(): string {
    return this.#parts.session.sid
  }

  /** Whether somebody is there to be told. */
  get open(): boolean {
    return this.#socket.readyState === WebSocket.OPEN
  }

  ping(): void {
    if (this.#missed >= PINGS_LOST) {
      this.terminate()
      return
    }
    this.#missed += 1
    this.#socket.ping()
  }

  close(code: number): void {
    this.#socket.close(code)
  }

  /** Cuts the connection off, whether or not the other side answers. */
  terminate(): void {
    this.#socket.terminate()
  }

  /** Everything in the sandbox is to be stopped. */
  ended(reason: string): void {
    this.#send({ type: 'ended', reason })
    this.close(LIFELINE_CLOSE.done)
  }

  #send(message: SandboxServerMessage): void {
    if (this.open) this.#socket.send(JSON.stringify(message))
  }

  async #take(data: RawData, isBinary: boolean): Promise<void> {
    this.#waiting -= 1
    // What came behind a message that closed the connection takes no effect.
    if (!this.open) return
    let message: SandboxClientMessage
    try {
      if (isBinary) throw new JitError('request_invalid', 'sandbox message: expected text')
      message = parseJson(SandboxClientMessage, String(data), { what: 'sandbox message' })
    } catch (thrown) {
      this.#refuse(thrown)
      this.close(LIFELINE_CLOSE.badMessage)
      return
    }
    try {
      await this.#handle(message)
    } catch (thrown) {
      this.#refuse(thrown)
      this.#giveUp(message, JitError.from(thrown).code)
    }
  }

  #giveUp({ type }: SandboxClientMessage, code: ErrorCode): void {
    const again = type !== 'open' && !FINAL.includes(code)
    this.close(again ? LIFELINE_CLOSE.restarting : LIFELINE_CLOSE.done)
  }

  #refuse(thrown: unknown): void {
    const error = JitError.from(thrown)
    if (error.code === 'internal') {
      this.#parts.log.warn('a sandbox line failed', { reason: error.message, stack: error.stack })
    }
    this.#send({ type: 'problem', problem: problemOf(error) })
  }

  async #handle(message: SandboxClientMessage): Promise<void> {
    switch (message.type) {
      case 'open':
        this.#begin()
        return this.#opened(await this.#parts.open(message))
      case 'reopen':
        this.#begin()
        return this.#opened(await this.#parts.reopen(message.sandbox))
      case 'refusals':
        return this.#parts.refused(message.refusals)
      case 'close':
        await this.#parts.close()
        return this.close(LIFELINE_CLOSE.done)
    }
  }

  #begin(): void {
    if (this.#asked) throw new JitError('request_invalid', 'a line carries one sandbox')
    this.#asked = true
    clearTimeout(this.#idle)
  }

  #opened(sandbox: Sandbox): void {
    this.#send({ type: 'opened', sandbox })
  }
}
