import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Tx } from './store.ts'

/** The most works of one group: others wait for all of them. */
const MAX_GROUP = 100

interface Waiting {
  readonly durable: boolean
  readonly work: (tx: Tx) => Promise<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (reason: unknown) => void
}

type Outcome = { readonly value: unknown } | { readonly error: unknown }

/** How a store runs a group. */
export interface Grouping {
  /** One transaction, durable once it resolves unless none of the group needs to be. */
  transaction<T>(work: (tx: Tx) => Promise<T>, durable: boolean): Promise<T>
  /** Runs a statement about savepoints in it. */
  execute(tx: Tx, statement: string): Promise<unknown>
  /** Whether the store itself has rolled all back, after a work failed. */
  aborted(): boolean
}

/**
 * Commits what came while the last commit was under way together: waiting for the disk is the most
 * of a small transaction, and it holds up everything else. Each work keeps its own savepoint, and
 * hears of its success only once all are durable.
 */
export function groupCommit(
  grouping: Grouping,
): <T>(work: (tx: Tx) => Promise<T>, options?: { durable: boolean }) => Promise<T> {
  let waiting: Waiting[] = []
  let committing = false

  const within = async (tx: Tx, { work }: Waiting): Promise<Outcome> => {
    await grouping.execute(tx, 'SAVEPOINT work')
    try {
      const value = await work(tx)
      await grouping.execute(tx, 'RELEASE SAVEPOINT work')
      return { value }
    } catch (error) {
      if (grouping.aborted()) throw error
      await grouping.execute(tx, 'ROLLBACK TO SAVEPOINT work')
      await grouping.execute(tx, 'RELEASE SAVEPOINT work')
      return { error }
    }
  }

  const together = async (tx: Tx, group: readonly Waiting[]): Promise<Outcome[]> => {
    const [only] = group
    if (only && group.length === 1) return [{ value: await only.work(tx) }]
    const done: Outcome[] = []
    for (const one of group) done.push(await within(tx, one))
    return done
  }

  const commit = async (group: readonly Waiting[]): Promise<void> => {
    try {
      const durable = group.some((one) => one.durable)
      const outcomes = await grouping.transaction((tx) => together(tx, group), durable)
      for (const [at, outcome] of outcomes.entries()) {
        if ('error' in outcome) group[at]?.reject(outcome.error)
        else group[at]?.resolve(outcome.value)
      }
    } catch (error) {
      for (const { reject } of group) reject(error)
    }
  }

  const commitAll = async (): Promise<void> => {
    while (waiting.length > 0) {
      const group = waiting.slice(0, MAX_GROUP)
      waiting = waiting.slice(MAX_GROUP)
      await commit(group)
      // A store in this process leaves the event loop no turn by itself.
      await nextTurn()
    }
    committing = false
  }

  return <T>(work: (tx: Tx) => Promise<T>, { durable } = { durable: true }) =>
    new Promise<T>((resolve, reject) => {
      waiting.push({ durable, work, resolve: (value) => resolve(value as T), reject })
      if (committing) return
      committing = true
      setImmediate(commitAll)
    })
}
