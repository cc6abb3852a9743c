import { setTimeout as wait } from 'node:timers/promises'
import type { TestClient } from '../broker/harness.ts'
import type { Gate } from './gate.ts'

/** Milliseconds between what a bystander does. */
const EVERY = 25

/** What somebody else saw while something went on. */
export interface Seen {
  /** Requests, and grants from request to receipt. */
  readonly asked: number
  readonly grants: number
  /** What was refused, lost or answered wrong. */
  readonly failed: readonly string[]
  /** Milliseconds that half of the requests took at most, before and meanwhile. */
  readonly before: number
  readonly meanwhile: number
}

/** Somebody at another address who works while others flood the broker. */
export class Bystander {
  readonly #client: TestClient
  readonly #failed: string[] = []
  #grants = 0

  private constructor(client: TestClient) {
    this.#client = client
  }

  static async at(gate: Gate): Promise<Bystander> {
    return new Bystander(await gate.client('bystander'))
  }

  /** Works until `flood` is over. */
  async during(flood: () => Promise<unknown>): Promise<Seen> {
    const quiet: number[] = []
    for (let count = 0; count < 20; count += 1) quiet.push(await this.#ask())
    let over = false
    const flooding = flood().finally(() => {
      over = true
    })
    const took: number[] = []
    while (!over) {
      took.push(await this.#ask())
      if (took.length % 10 === 1) await this.#work()
      await wait(EVERY)
    }
    await flooding
    return {
      asked: took.length,
      grants: this.#grants,
      failed: this.#failed,
      before: median(quiet),
      meanwhile: median(took),
    }
  }

  async #ask(): Promise<number> {
    const started = performance.now()
    try {
      const { status } = await this.#client.call('GET', '/v1/whoami')
      if (status !== 200) this.#failed.push(`whoami: ${status}`)
    } catch (thrown) {
      this.#failed.push(`whoami: ${thrown}`)
    }
    return performance.now() - started
  }

  /** One grant, from the request to the receipt. */
  async #work(): Promise<void> {
    try {
      const { line, granted } = await this.#client.grant({ targets: ['shop'] })
      const outcome = { code: 0, signal: null }
      line.send({ type: 'release', grant: granted.grant, outcome })
      const { receipt } = await line.next('released')
      if (receipt.ended_by !== 'exit') this.#failed.push(`ended by ${receipt.ended_by}`)
      this.#grants += 1
    } catch (thrown) {
      this.#failed.push(`grant: ${thrown}`)
    }
  }
}

function median(times: readonly number[]): number {
  return [...times].sort((one, other) => one - other)[Math.floor(times.length / 2)] ?? 0
}
