import { newMark, originOf } from '../lib/handle.ts'
import type { Store } from './store/store.ts'

/** How often a process writes down that it lives, in milliseconds. */
export const BEAT_MS = 5000
/** How old a sign of life may be of a process that lives. */
const ALIVE_MS = 6 * BEAT_MS
/** By then every intent that was begun is in the store, or never will be. */
const SETTLED_MS = 30_000
/** How far another broker's clock may be off. */
const CLOCKS_APART_MS = 60_000

/**
 * What a ledger that has no lease of a handle can say of it:
 * - `ours`: made, if at all, in a time that this ledger remembers whole: whatever it is, nobody wants it
 * - `unsettled`: too new to tell
 * - `unknown`: made in a time that this ledger knows nothing of, because it is a restored copy; or, `forked`,
 *   while it was serving, by another broker that has a copy of it
 */
export type Verdict =
  | { readonly kind: 'ours' | 'unsettled' }
  | { readonly kind: 'unknown'; readonly mintedAt: number; readonly forked: boolean }

/**
 * One process that serves a ledger. Its mark is in every handle that it makes, and the store says until when
 * it is known to have lived: so a copy of the store can tell what it must have forgotten.
 */
export class Incarnation {
  readonly mark: string
  readonly #store: Store
  readonly #startedAt: number

  private constructor(store: Store, mark: string) {
    this.#store = store
    this.mark = mark
    this.#startedAt = store.now()
  }

  static async begin(store: Store): Promise<Incarnation> {
    const own = new Incarnation(store, newMark())
    const at = store.now()
    await store.db
      .insertInto('incarnations')
      .values({ mark: own.mark, started_at: at, alive_at: at })
      .execute()
    return own
  }

  async beat(): Promise<void> {
    await this.#store.db
      .updateTable('incarnations')
      .set({ alive_at: this.#store.now() })
      .where('mark', '=', this.mark)
      .execute()
  }

  /** @param handles of this ledger by their prefix, without a lease in it */
  async judge(handles: readonly string[]): Promise<ReadonlyMap<string, Verdict>> {
    if (handles.length === 0) return new Map()
    const known = await this.#store.db.selectFrom('incarnations').selectAll().execute()
    const aliveAt = new Map(known.map(({ mark, alive_at }) => [mark, alive_at]))
    return new Map(handles.map((handle) => [handle, this.#verdict(handle, aliveAt)]))
  }

  #verdict(handle: string, aliveAt: ReadonlyMap<string, number>): Verdict {
    const origin = originOf(handle)
    // Somebody who may create such a name made it by hand.
    if (!origin) return { kind: 'unknown', mintedAt: 0, forked: false }
    const { mintedAt, mark } = origin
    const alive = aliveAt.get(mark)
    if (alive !== undefined && mintedAt <= alive - SETTLED_MS) return { kind: 'ours' }
    if (
      alive !== undefined &&
      alive > this.#store.now() - ALIVE_MS &&
      mintedAt <= alive + BEAT_MS
    ) {
      return { kind: 'unsettled' }
    }
    return { kind: 'unknown', mintedAt, forked: mintedAt > this.#startedAt + CLOCKS_APART_MS }
  }
}
