import { sql } from 'kysely'

/**
 * The state of rows that are found by another column. As it is, SQLite would rather go through all that are in
 * that state: a hundred thousand, where as many end.
 */
export const stateOfFound = sql<string>`state || ''`
