import type { Kysely, Transaction } from 'kysely'
import type { Schema } from './schema.ts'

export type Tx = Transaction<Schema>

/**
 * Where the ledger rests: a SQLite file that one broker has, or a PostgreSQL that several share. On
 * both, transactions run one after the other, over all nodes: what one sees, none changes meanwhile.
 * The network is never awaited inside {@link Store.transaction}: there is one writer.
 */
export interface Store {
  readonly db: Kysely<Schema>
  /** The same by a way of its own, which no reader holds up: a node says by it that it lives. */
  readonly pulse: Kysely<Schema>
  /** Whether other nodes may use it at the same time. */
  readonly shared: boolean
  /** Milliseconds since the epoch by the one clock that all nodes over this store share. */
  now(): number
  /**
   * Runs `work` in one transaction: all of it, or nothing. It is durable once this resolves. With
   * `durable: false` it is once a later one is, and has no place in the order of the others: for what
   * is exact by a key, and has an effect only with a later one.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>, options?: { durable: boolean }): Promise<T>
  /**
   * Has `listener` told when another node has committed something, where the store can say so. It may
   * miss some: whoever listens looks from time to time as well.
   */
  onCommit(listener: () => void): void
  close(): Promise<void>
}
