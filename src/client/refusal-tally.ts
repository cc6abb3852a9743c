import type { Refusal } from '../protocol/sandbox.ts'

/** Hosts and ports that are counted apart until they are told; the rest is one sum. */
const MOST = 128
/** How many one message may carry. */
const A_MESSAGE = 32
const THE_REST = { host: '', port: 0 }

/** What a sandbox was kept from reaching, counted until somebody takes it: a hostile one may try without end. */
export class RefusalTally {
  readonly #counts = new Map<string, Refusal>()

  add(refusals: readonly Refusal[]): void {
    for (const refusal of refusals) this.#count(refusal)
  }

  #count({ host, port, count }: Refusal): void {
    const named = { host: host.slice(0, 255), port }
    const apart = this.#counts.has(keyOf(named)) || this.#counts.size < MOST
    const counted = apart ? named : THE_REST
    const before = this.#counts.get(keyOf(counted))?.count ?? 0
    this.#counts.set(keyOf(counted), { ...counted, count: before + count })
  }

  /** All that was counted, as many a message as one takes; the tally begins anew. */
  take(): Refusal[][] {
    const all = [...this.#counts.values()]
    this.#counts.clear()
    const messages: Refusal[][] = []
    for (let at = 0; at < all.length; at += A_MESSAGE) messages.push(all.slice(at, at + A_MESSAGE))
    return messages
  }
}

const keyOf = ({ host, port }: Pick<Refusal, 'host' | 'port'>) => `${host}:${port}`
