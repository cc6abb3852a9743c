import { JitError } from '../../lib/errors.ts'

/** Commands of one client at the same time, each with a grant of its own. */
const MOST = 8

/** What a client has asked for and has no answer to yet. */
export class Calls {
  readonly #open = new Set<Promise<unknown>>()
  #commands = 0

  /** Counts this one until it has settled. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    const working = work()
    const settled = working.catch(() => {})
    this.#open.add(settled)
    try {
      return await working
    } finally {
      this.#open.delete(settled)
    }
  }

  /**
   * The same for one that runs a command.
   * @throws JitError `limit_reached`
   */
  async command<T>(work: () => Promise<T>): Promise<T> {
    if (this.#commands >= MOST) {
      throw new JitError('limit_reached', `${MOST} commands run or wait already`, {
        hint: 'wait for one of them to end, or cancel it',
      })
    }
    this.#commands += 1
    try {
      return await work()
    } finally {
      this.#commands -= 1
    }
  }

  /** Resolves when none is left: commands have ended, their grants are given back. */
  async settled(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open)
  }
}
