import type { Store, Tx } from '../store/store.ts'

/** What lives on a connection. */
export type Held = 'grants' | 'sandboxes'

/** A power cut takes the node with it, and so whatever it held. */
const NOT_DURABLE = { durable: false }

/** At which node the connections of grants and sandboxes are, and until when those without one may find one. */
export class LineLedger {
  readonly #store: Store
  readonly #node: string

  constructor(parts: { store: Store; node: string }) {
    this.#store = parts.store
    this.#node = parts.node
  }

  /** Its connection is here now, wherever it was; unless it is over. */
  async hold(what: Held, id: string): Promise<void> {
    await this.#update(what, id, (tx) => tx.set(this.#here).where('ended_at', 'is', null))
  }

  /** It was let go although its connection is here; unless another node has it by now, or it is over. */
  async holdAgain(what: Held, id: string): Promise<void> {
    await this.#update(what, id, (tx) =>
      tx.set(this.#here).where('held_by', 'is', null).where('ended_at', 'is', null),
    )
  }

  get #here() {
    return { held_by: this.#node, grace_until: null }
  }

  /**
   * Its connection was lost, unless it is at another node by now.
   * @param grace milliseconds to find one
   * @returns when that is over
   */
  async letGo(what: Held, id: string, grace: number): Promise<number> {
    let until = 0
    await this.#update(what, id, (tx) => {
      // From when it is written: a store that hung meanwhile would have let nobody back.
      until = this.#store.now() + grace
      return tx.set({ held_by: null, grace_until: until }).where('held_by', '=', this.#node)
    })
    return until
  }

  /** Whether its grace is over later: it found a connection at another node, and lost that as well. */
  async isGivenMore(what: Held, id: string, until: number): Promise<boolean> {
    const row = await this.#store.db
      .selectFrom(what as 'grants')
      .select('id')
      .where('id', '=', id)
      .where('grace_until', '>', until)
      .executeTakeFirst()
    return row !== undefined
  }

  async #update(
    what: Held,
    id: string,
    change: (update: ReturnType<typeof updateOf>) => { execute(): Promise<unknown> },
  ): Promise<void> {
    await this.#store.transaction(
      (tx) => change(updateOf(tx, what).where('id', '=', id)).execute(),
      NOT_DURABLE,
    )
  }

  /** Whether a grant has its connection at this node. */
  async isHere(grant: string): Promise<boolean> {
    const row = await this.#store.db
      .selectFrom('grants')
      .select('id')
      .where('id', '=', grant)
      .where('held_by', '=', this.#node)
      .executeTakeFirst()
    return row !== undefined
  }

  /** When these grants end, by the ledger, and whether none has its connection but this node. */
  async deadlines(grants: readonly string[]) {
    const rows = await this.#store.db
      .selectFrom('grants')
      .select(['id', 'expires_at', 'held_by'])
      .where('id', 'in', grants)
      .execute()
    return rows.map(({ id, expires_at, held_by }) => ({
      id,
      deadline: expires_at ?? 0,
      here: held_by === null || held_by === this.#node,
    }))
  }

  /** Which of these grants have their connection at another node. */
  async elsewhere(grants: readonly string[]): Promise<string[]> {
    const rows = await this.#store.db
      .selectFrom('grants')
      .select('id')
      .where('id', 'in', grants)
      .where('held_by', '!=', this.#node)
      .execute()
    return rows.map(({ id }) => id)
  }

  /** Those that are to find a connection within their grace, and until when that is. */
  async unheld(what: Held): Promise<{ id: string; until: number }[]> {
    const rows = await this.#store.db
      .selectFrom(what as 'grants')
      .select(['id', 'grace_until'])
      .where('held_by', 'is', null)
      .where('grace_until', 'is not', null)
      .execute()
    return rows.map(({ id, grace_until }) => ({ id, until: grace_until ?? 0 }))
  }

  /** Those that found no connection within their grace, by the store's clock. */
  async abandoned(what: Held): Promise<string[]> {
    const rows = await this.#store.db
      .selectFrom(what as 'grants')
      .select('id')
      .where('held_by', 'is', null)
      .where('grace_until', '<=', this.#store.now())
      .execute()
    return rows.map(({ id }) => id)
  }
}

/** Both tables have these columns. */
const updateOf = (tx: Tx, what: Held) => tx.updateTable(what as 'grants')

/** Over: it lives on no connection any more. */
export const NOT_HELD = { held_by: null, grace_until: null } as const
