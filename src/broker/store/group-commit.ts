import type { DatabaseSync } from 'node:sqlite'
import type { Kysely } from 'kysely'
import type { Schema } from './schema.ts'
import type { Tx } from './store.ts'

interface Waiting {
  readonly durable: boolean
  readonly work: (tx: Tx) => Promise<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (reason: unknown) => void
}

type Outcome = { readonly value: unknown } | { readonly error: unknown }

/**
 * Commits what came in the same turn of the event loop together: waiting for the disk is the most
 * of a small transaction, and it holds up everything else. Each work keeps its own savepoint, and
 * hears of its success only once all are durable.
 */
export function groupCommit(
  db: Kysely<Schema>,
  database: DatabaseSync,
): <T>(work: (tx: Tx) => Promise<T>, options?: { durable: boolean }) => Promise<T> {
  let waiting: Waiting[] = []

  const within = async (tx: Tx, { work }: Waiting): Promise<Outcome> => {
    database.exec('SAVEPOINT work')
    try {
      const value = await work(tx)
      database.exec('RELEASE work')
      return { value }
    } catch (error) {
      // Where SQLite itself has rolled all back (a full disk), all of them failed.
      if (!database.isTransaction) throw error
      database.exec('ROLLBACK TO work; RELEASE work')
      return { error }
    }
  }

  const together = (connection: Kysely<Schema>, group: readonly Waiting[]): Promise<Outcome[]> =>
    connection.transaction().execute(async (tx) => {
      const done: Outcome[] = []
      for (const one of group) done.push(await within(tx, one))
      return done
    })

  const commit = async (): Promise<void> => {
    const group = waiting
    waiting = []
    try {
      const outcomes = await db.connection().execute(async (connection) => {
        if (group.some(({ durable }) => durable)) return together(connection, group)
        // In WAL mode, NORMAL leaves the wait for the disk to the next commit (SQLite, PRAGMA synchronous).
        database.exec('PRAGMA synchronous = NORMAL')
        return together(connection, group).finally(() => database.exec('PRAGMA synchronous = FULL'))
      })
      for (const [at, outcome] of outcomes.entries()) {
        if ('error' in outcome) group[at]?.reject(outcome.error)
        else group[at]?.resolve(outcome.value)
      }
    } catch (error) {
      for (const { reject } of group) reject(error)
    }
  }

  return <T>(work: (tx: Tx) => Promise<T>, { durable } = { durable: true }) =>
    new Promise<T>((resolve, reject) => {
      waiting.push({ durable, work, resolve: (value) => resolve(value as T), reject })
      if (waiting.length === 1) setImmediate(commit)
    })
}
