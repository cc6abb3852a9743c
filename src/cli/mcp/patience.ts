import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { Pending } from '../../client/asking.ts'
import { JitError } from '../../lib/errors.ts'
import type { Command } from '../../protocol/request.ts'
import { askPerson } from './pending.ts'

export interface Waiter {
  readonly client: Server
  /** The copilot that asks, as the person at the client knows it. */
  readonly who: string
  readonly command: Pick<Command, 'argv'>
  /** Aborted when the client takes its call back. */
  readonly cancelled: AbortSignal
  /** Seconds to wait for an approval. */
  readonly seconds: number
}

/** One wait for an answer: ended by the client, the person at it, or the time given to it. */
export class Patience implements Disposable {
  readonly #waiter: Waiter
  readonly #controller = new AbortController()
  readonly #over = new AbortController()
  readonly #cancel: () => void
  #timer: NodeJS.Timeout | undefined
  #pending: Pending | undefined
  #expired = false
  #declined = false

  constructor(waiter: Waiter) {
    this.#waiter = waiter
    const { cancelled } = waiter
    this.#cancel = () => this.#controller.abort(new JitError('cancelled', 'cancelled'))
    if (cancelled.aborted) this.#cancel()
    cancelled.addEventListener('abort', this.#cancel)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The request that still waits after the time given to it. */
  get leftWaiting(): Pending | undefined {
    return this.#expired ? this.#pending : undefined
  }

  /** Whether the person at the client took the request back. */
  get declined(): boolean {
    return this.#declined
  }

  /** The wait begins with the first word of it. */
  waits(pending: Pending): void {
    const first = this.#pending === undefined
    this.#pending = pending
    const { seconds } = this.#waiter
    if (!first || seconds === 0) return
    this.#timer = setTimeout(() => {
      this.#expired = true
      this.#controller.abort(new JitError('approval_pending', 'nobody has approved it yet'))
    }, seconds * 1000)
    this.#ask(pending).catch((thrown) => {
      this.#declined = true
      this.#controller.abort(thrown)
    })
  }

  /** Nothing is waited for any more: what happens now ends the command, not the wait. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#over.abort()
    this.#waiter.cancelled.removeEventListener('abort', this.#cancel)
  }

  async #ask(pending: Pending): Promise<void> {
    const { client, who, command } = this.#waiter
    await askPerson(client, { waits: { ...pending, command }, who, signal: this.#over.signal })
  }
}
