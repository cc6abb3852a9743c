import { JitError } from '../lib/errors.ts'
import { BEAT_MS, BELIEVED_MS } from './ledger/node-ledger.ts'
import type { BrokerParts } from './parts.ts'

interface MembershipParts extends BrokerParts {
  /** Sends all clients elsewhere. */
  readonly stepAside: () => void
  /** Something lost its node: it has to be watched over, and swept after. */
  readonly freed: () => Promise<void>
}

/**
 * One broker among those over its store: says that it lives, takes over from those that don't, and
 * steps aside while it can't say so, because others take over from it then.
 */
export class Membership {
  readonly #parts: MembershipParts
  #timer: NodeJS.Timeout | undefined
  /** By the monotonic clock: the others count from a later moment. */
  #believedUntil = Number.POSITIVE_INFINITY
  #beating: Promise<void> | undefined
  #servesSince = Number.POSITIVE_INFINITY

  constructor(parts: MembershipParts) {
    this.#parts = parts
  }

  /** Comes to the others, before it has anything in hand: nobody would take that over from a stranger. */
  async join(): Promise<void> {
    const { ledger, policies } = this.#parts
    await ledger.nodes.join(policies.current.version)
  }

  /** Now that it serves, what an earlier process or a dead node had gets its grace. */
  async serve(): Promise<void> {
    const { ledger, store } = this.#parts
    await ledger.nodes.takeOver(this.#graceMs)
    await this.#parts.freed()
    this.#servesSince = performance.now()
    if (!store.shared) return
    this.#believedUntil = performance.now() + BELIEVED_MS
    this.#timer = setInterval(() => this.#tick(), BEAT_MS)
  }

  /** Milliseconds for which clients could come to this node without a break. */
  get servesFor(): number {
    return Math.max(0, performance.now() - this.#servesSince)
  }

  get #graceMs(): number {
    return this.#parts.config.lifeline.grace * 1000
  }

  #tick(): void {
    if (performance.now() > this.#believedUntil) {
      this.#believedUntil = Number.POSITIVE_INFINITY
      this.#parts.log.warn('the store is out of reach: clients are sent elsewhere')
      this.#stepAside()
    }
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined
    })
  }

  #stepAside(): void {
    this.#servesSince = Number.POSITIVE_INFINITY
    this.#parts.stepAside()
  }

  async #beat(): Promise<void> {
    const { ledger, policies, log } = this.#parts
    try {
      const since = performance.now()
      if (!(await ledger.nodes.beat(policies.current.version))) {
        log.warn('this node was taken for dead: its clients come back')
        this.#stepAside()
        await ledger.nodes.join(policies.current.version)
      }
      this.#believedUntil = since + BELIEVED_MS
      this.#servesSince = Math.min(this.#servesSince, performance.now())
      await this.#takeOver()
    } catch (thrown) {
      log.warn('the store was not told that this node lives', {
        reason: JitError.from(thrown).message,
      })
    }
  }

  async #takeOver(): Promise<void> {
    const dead = await this.#parts.ledger.nodes.takeOver(this.#graceMs)
    if (dead.length === 0) return
    this.#parts.log.info('took over from nodes that are gone', { nodes: dead })
    await this.#parts.freed()
  }

  /** Goes in order: clients may come to the others at once. */
  async leave(): Promise<void> {
    clearInterval(this.#timer)
    await this.#beating
    await this.#parts.ledger.nodes.leave(this.#graceMs)
  }
}
