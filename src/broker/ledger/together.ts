interface Waiting<Item> {
  readonly item: Item
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

/** Does what comes while the last was being done in one go. */
export class Together<Item> {
  readonly #work: (items: readonly Item[]) => Promise<void>
  readonly #most: number
  #waiting: Waiting<Item>[] = []
  #busy = false

  /** @param most how many are done in one go */
  constructor(most: number, work: (items: readonly Item[]) => Promise<void>) {
    this.#most = most
    this.#work = work
  }

  /** Resolves when it is done; rejects with what went wrong with all that were done with it. */
  add(item: Item): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ item, resolve, reject })
    if (!this.#busy) {
      this.#busy = true
      // What comes in the same turn of the event loop is of the first.
      setImmediate(() => void this.#all())
    }
    return promise
  }

  async #all(): Promise<void> {
    while (this.#waiting.length > 0) {
      const some = this.#waiting.splice(0, this.#most)
      try {
        await this.#work(some.map(({ item }) => item))
        for (const { resolve } of some) resolve()
      } catch (reason) {
        for (const { reject } of some) reject(reason)
      }
    }
    this.#busy = false
  }
}
