import type { WebSocket } from 'ws'
import type { ErrorCode } from '../lib/errors.ts'
import { LIFELINE_CLOSE } from '../protocol/lifeline.ts'
import {
  type Sandbox,
  SandboxClientMessage,
  type SandboxServerMessage,
} from '../protocol/sandbox.ts'
import { Channel } from './channel.ts'
import type { Log } from './log.ts'
import type { RateLimits } from './rate-limits.ts'
import type { Session } from './sessions.ts'
import type { Metrics } from './telemetry/metrics.ts'

/** What makes a `reopen` hopeless; after anything else the supervisor comes back. */
const FINAL: readonly ErrorCode[] = ['grant_ended', 'not_found', 'session_ended', 'denied']

/** What a line leaves to whoever keeps the sandboxes. */
export interface SandboxLineParts {
  readonly log: Log
  readonly rates: RateLimits
  readonly metrics: Pick<Metrics, 'refused'>
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

/** One connection of a sandbox's supervisor. */
export class SandboxLine {
  readonly #channel: Channel<SandboxClientMessage, SandboxServerMessage>
  readonly #parts: SandboxLineParts

  constructor(socket: WebSocket, parts: SandboxLineParts) {
    this.#parts = parts
    this.#channel = new Channel(socket, {
      schema: SandboxClientMessage,
      name: 'sandbox line',
      log: parts.log,
      admit: () => parts.rates.take(parts.session.principal),
      metrics: parts.metrics,
      handle: (message) => this.#handle(message),
      failed: (message, code) => this.#giveUp(message, code),
      closed: parts.closed,
    })
  }

  get sid(): string {
    return this.#parts.session.sid
  }

  /** Whether somebody is there to be told. */
  get open(): boolean {
    return this.#channel.open
  }

  ping(): void {
    this.#channel.ping()
  }

  close(code: number): void {
    this.#channel.close(code)
  }

  /** Cuts the connection off, whether or not the other side answers. */
  terminate(): void {
    this.#channel.terminate()
  }

  /** Everything in the sandbox is to be stopped. */
  ended(reason: string): void {
    this.#channel.send({ type: 'ended', reason })
    this.close(LIFELINE_CLOSE.done)
  }

  #giveUp({ type }: SandboxClientMessage, code: ErrorCode): void {
    const again = type !== 'open' && !FINAL.includes(code)
    this.close(again ? LIFELINE_CLOSE.restarting : LIFELINE_CLOSE.done)
  }

  async #handle(message: SandboxClientMessage): Promise<void> {
    switch (message.type) {
      case 'open':
        this.#channel.begin('sandbox')
        return this.#opened(await this.#parts.open(message))
      case 'reopen':
        this.#channel.begin('sandbox')
        return this.#opened(await this.#parts.reopen(message.sandbox))
      case 'refusals':
        return this.#parts.refused(message.refusals)
      case 'close':
        await this.#parts.close()
        return this.close(LIFELINE_CLOSE.done)
    }
  }

  #opened(sandbox: Sandbox): void {
    this.#channel.send({ type: 'opened', sandbox })
  }
}
