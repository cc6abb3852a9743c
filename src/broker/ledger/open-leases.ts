import { type Expression, type SqlBool, sql } from 'kysely'

/**
 * That a lease isn't over. Said as the index of open leases says it, word for word: with a value that is
 * only known later SQLite reads all that ever were.
 */
export const isOpen: Expression<SqlBool> = sql`leases.state != 'revoked'`
