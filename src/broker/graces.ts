import type { Held, LineLedger } from './ledger/line-ledger.ts'
import type { Log } from './log.ts'
import type { Store } from './store/store.ts'

interface Parts {
  /** What lost its connection. */
  readonly what: Held
  /** How long it has to find one, in milliseconds. */
  readonly grace: number
  readonly lines: LineLedger
  readonly store: Pick<Store, 'shared'>
  readonly log: Log
  /** Whether it has a connection at this node. */
  readonly isHeld: (id: string) => boolean
  /** Ends it. `unheld`: only if its connection is at no node */
  readonly end: (id: string, how: { unheld: boolean }) => Promise<void>
}

/** What the ledger was told of a lost connection. */
interface Recorded {
  /** When the grace is over, by the store's clock. */
  readonly until: number
  /** When it began, by a clock that nobody can turn back. */
  readonly since: number
}

/** What lost its connection at this node, and ends unless it finds one within its grace, here or at another. */
export class Graces {
  readonly #parts: Parts
  readonly #timers = new Map<string, NodeJS.Timeout>()
  #stopped = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  get ids(): Iterable<string> {
    return this.#timers.keys()
  }

  has(id: string): boolean {
    return this.#timers.has(id)
  }

  /** It has a connection, or is over. */
  clear(id: string): void {
    clearTimeout(this.#timers.get(id))
    this.#timers.delete(id)
  }

  /** Whoever serves next watches over them. */
  stop(): void {
    this.#stopped = true
    for (const id of [...this.#timers.keys()]) this.clear(id)
  }

  /** Its connection is gone: its grace begins. */
  lose(id: string): void {
    if (this.#stopped) return
    const lost = this.#letGo(id)
    lost.catch((thrown: unknown) => this.#failed(id, thrown))
    this.#await(id, lost, this.#parts.grace)
  }

  /** Watches over what another process left without a connection: its grace starts now. */
  async takeUp(): Promise<void> {
    const { lines, what, grace, isHeld } = this.#parts
    for (const { id, until } of await lines.unheld(what)) {
      // Some are back already.
      if (isHeld(id)) continue
      this.#await(id, Promise.resolve({ until, since: performance.now() }), grace)
    }
  }

  #await(id: string, lost: Promise<Recorded>, milliseconds: number): void {
    this.clear(id)
    const timer = setTimeout(() => void this.#over(id, { lost, timer }), milliseconds)
    this.#timers.set(id, timer)
  }

  /** Its grace is over, unless the ledger was told only late that it began. */
  async #over(
    id: string,
    { lost, timer }: { lost: Promise<Recorded>; timer: NodeJS.Timeout },
  ): Promise<void> {
    const recorded = await lost.catch(() => undefined)
    if (this.#timers.get(id) !== timer) return
    // As long as the store takes nothing, it can come back to no node that shares it.
    if (!recorded && this.#parts.store.shared) return this.lose(id)
    const left = (recorded?.since ?? 0) + this.#parts.grace - performance.now()
    if (left > 0) return this.#await(id, lost, left)
    this.#timers.delete(id)
    try {
      await this.#end(id, lost)
    } catch (thrown) {
      this.#failed(id, thrown)
      // Deny on doubt: it is tried until it is recorded.
      this.lose(id)
    }
  }

  async #letGo(id: string): Promise<Recorded> {
    const { lines, what, grace, isHeld } = this.#parts
    const until = await lines.letGo(what, id, grace)
    // It came back while that was written.
    if (isHeld(id)) await lines.holdAgain(what, id)
    return { until, since: performance.now() }
  }

  /** Unless it found a connection, or found and lost one at another node meanwhile. */
  async #end(id: string, lost: Promise<Recorded>): Promise<void> {
    const { lines, what, store, isHeld, end } = this.#parts
    // Once more: that it is here may have been recorded only after its connection was lost.
    const now = await lines.letGo(what, id, 0).catch((thrown: unknown) => {
      this.#failed(id, thrown)
    })
    if (isHeld(id)) return
    if (store.shared && now !== undefined) {
      const { until } = await lost.catch(() => ({ until: now }))
      if (await lines.isGivenMore(what, id, Math.max(now, until))) return
    }
    // Where no other node could have it, it ends all the same.
    await end(id, { unheld: now !== undefined || store.shared })
  }

  #failed(id: string, thrown: unknown): void {
    const { log, what } = this.#parts
    log.warn('a lost connection could not be recorded', { of: what, id, reason: String(thrown) })
  }
}
