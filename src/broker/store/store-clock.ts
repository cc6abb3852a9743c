import type { Log } from '../log.ts'

/** How often the store is asked for its time, in milliseconds. */
const ASK_EVERY_MS = 1000
/** An answer that took longer says too little, unless it is long since there was a better one. */
const PROMPT_MS = 250
const STALE_MS = 30_000

/**
 * The clock of a store that several nodes share, as this process knows it: asked for each second, and
 * carried on in between by a clock that no one sets. Whatever this machine's own time is doesn't matter.
 */
export class StoreClock {
  readonly #ask: () => Promise<number>
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #asking = false
  #setAt = Number.NEGATIVE_INFINITY
  /** What the store's time is ahead of the monotonic clock, in milliseconds. */
  #ahead = 0

  private constructor(ask: () => Promise<number>, log: Log) {
    this.#ask = ask
    this.#log = log
  }

  /** @param ask the store's time, milliseconds since the epoch */
  static async start(ask: () => Promise<number>, log: Log): Promise<StoreClock> {
    const clock = new StoreClock(ask, log)
    await clock.#synchronise()
    clock.#timer = setInterval(() => void clock.#again(), ASK_EVERY_MS)
    return clock
  }

  /** Whole milliseconds since the epoch. */
  now(): number {
    return Math.round(performance.now() + this.#ahead)
  }

  /** The time is from some moment between question and answer: taken for the middle. */
  async #synchronise(): Promise<void> {
    const asked = performance.now()
    const time = await this.#ask()
    const answered = performance.now()
    if (answered - asked > PROMPT_MS && answered - this.#setAt < STALE_MS) return
    this.#ahead = time - (asked + answered) / 2
    this.#setAt = answered
  }

  async #again(): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    try {
      await this.#synchronise()
    } catch (thrown) {
      this.#log.warn('the store does not say what time it is', { reason: String(thrown) })
    } finally {
      this.#asking = false
    }
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
