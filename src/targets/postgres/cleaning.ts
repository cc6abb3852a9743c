import type { Run } from './connection.ts'
import type { Facts } from './server.ts'
import { identifier, literal } from './sql.ts'

/** A closed lease without sessions, and the means to clear away what it left. */
export interface Cleaning {
  readonly handle: string
  readonly oid: number
  /** Who owns what the task made, if the task may make anything. */
  readonly owner: string | undefined
  readonly facts: Facts
  readonly run: Run
  inDatabase<T>(database: string, work: (run: Run) => Promise<T>): Promise<T>
}

/** One at a time over all brokers: two would take the same membership from each other. */
const ACTING = "pg_advisory_lock(hashtextextended('jit acting', 0))"

/**
 * Works while the administrator has the role's rights, which one who isn't a superuser needs to give something to it
 * or to act as it. Taken and given back at once if the administrator had none.
 */
export async function actAs<T>(
  { facts, run }: Pick<Cleaning, 'facts' | 'run'>,
  role: string,
  work: () => Promise<T>,
): Promise<T> {
  if (facts.superuser) return work()
  const right = facts.version < 16 ? 'MEMBER' : 'SET'
  const [row] = await run(
    `SELECT ${ACTING}; SELECT pg_has_role(${literal(role)}, '${right}') AND pg_has_role(${literal(role)}, 'USAGE') AS has`,
  )
  if (row?.has === true) return work()
  await run(
    `GRANT ${identifier(role)} TO CURRENT_USER${facts.version < 16 ? '' : ' WITH INHERIT TRUE, SET TRUE'}`,
  )
  try {
    return await work()
  } finally {
    await run(
      `RESET ROLE; REVOKE ${identifier(role)} FROM CURRENT_USER${facts.version < 16 ? '' : ' GRANTED BY CURRENT_USER'}`,
    )
  }
}
