import type { Refusal } from '../protocol/sandbox.ts'

/** Hosts and ports of one sandbox that are recorded apart, and entries of it in a minute. */
const MOST_PAIRS = 64
const MOST_A_MINUTE = 60
const MINUTE_MS = 60_000

/** What is recorded of a refusal; `more`: how many others there were, of whatever host. */
export type RefusalEntry = Refusal | { readonly more: number }

/** What of one sandbox's refusals is recorded: the log is not its to fill. */
export class RefusalLog {
  readonly #pairs = new Set<string>()
  #since = Number.NEGATIVE_INFINITY
  #entries = 0
  #more = 0

  /**
   * What is to be recorded of these; the rest is counted.
   * @param now milliseconds since the epoch
   */
  take(refusals: readonly Refusal[], now: number): RefusalEntry[] {
    const entries: RefusalEntry[] = []
    if (now - this.#since >= MINUTE_MS) {
      this.#since = now
      this.#entries = 0
      entries.push(...this.rest())
    }
    for (const refusal of refusals) {
      if (this.#entries < MOST_A_MINUTE && this.#isApart(refusal)) {
        this.#entries += 1
        entries.push(refusal)
      } else this.#more += refusal.count
    }
    return entries
  }

  /** What was only counted so far. */
  rest(): RefusalEntry[] {
    const more = this.#more
    this.#more = 0
    return more > 0 ? [{ more }] : []
  }

  #isApart({ host, port }: Refusal): boolean {
    if (host === '') return false
    const pair = `${host}:${port}`
    if (!this.#pairs.has(pair) && this.#pairs.size >= MOST_PAIRS) return false
    this.#pairs.add(pair)
    return true
  }
}
