import type { Kysely, Transaction } from 'kysely'
import type { Schema } from './schema.ts'

export type Tx = Transaction<Schema>

/**
 * Where the ledger rests. SQLite now; the same queries and migrations are written for PostgreSQL.
 * The network is never awaited inside {@link Store.transaction}: SQLite has one writer.
 */
export interface Store {
  readonly db: Kysely<Schema>
  /** Milliseconds since the epoch by the one clock that all nodes over this store share. */
  now(): number
  /**
   * Runs `work` in one transaction: all of it, or nothing. It is durable once this resolves; with
   * `durable: false`, once a later one is: enough where only that one has an effect.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>, options?: { durable: boolean }): Promise<T>
  close(): Promise<void>
}
