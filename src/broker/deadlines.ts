/** `setTimeout` takes no more. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * A monotonic timer for each grant's deadline. The store's clock is asked as well, once a second:
 * the earlier wins.
 */
export class Deadlines {
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #end: (due: ReadonlyMap<string, number>) => void
  #due = new Map<string, number>()

  /** @param end told all whose time is over in the same turn of the event loop, each with its deadline */
  constructor(end: (due: ReadonlyMap<string, number>) => void) {
    this.#end = end
  }

  /** Times in milliseconds: the deadline since the epoch by the store's clock, and how long it is until then. */
  watch(grant: string, { deadline, left }: { deadline: number; left: number }): void {
    this.forget(grant)
    const timer = setTimeout(
      () => this.#over(grant, deadline),
      Math.min(Math.max(0, left), MAX_TIMER_MS),
    )
    this.#timers.set(grant, timer)
  }

  #over(grant: string, deadline: number): void {
    this.#timers.delete(grant)
    if (this.#due.set(grant, deadline).size > 1) return
    setImmediate(() => {
      const due = this.#due
      this.#due = new Map()
      if (due.size > 0) this.#end(due)
    })
  }

  forget(grant: string): void {
    clearTimeout(this.#timers.get(grant))
    this.#timers.delete(grant)
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
    this.#due = new Map()
  }
}
