import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import pg from 'pg'
import type { LeaseRow } from '../../src/broker/store/schema.ts'
import type { Database } from '../servers/database.ts'

/** A lease as the ledger has it on its disk, whether or not a broker runs. */
export type BookedLease = Pick<LeaseRow, 'handle' | 'grant_id' | 'state' | 'next_attempt_at'>

/** Reads a ledger past every broker. */
export interface Books extends AsyncDisposable {
  query<Row>(sql: string): Promise<Row[]>
  /** Writes into it what no broker has, while none runs. */
  insert(table: string, rows: readonly object[]): Promise<void>
  /** Changes what is in it, while no broker runs. */
  execute(sql: string): Promise<void>
  /** Refuses, or takes again, whatever is to be written into the audit log. */
  refuseAudit(refused: boolean): Promise<void>
}

export function sqliteBooks(path: string): Books {
  const within = <T>(work: (database: DatabaseSync) => T, options: { readOnly?: boolean } = {}) => {
    const database = new DatabaseSync(path, { timeout: 5000, ...options })
    try {
      return work(database)
    } finally {
      database.close()
    }
  }
  return {
    query: async <Row>(sql: string) =>
      within((database) => database.prepare(sql).all() as Row[], { readOnly: true }),
    insert: async (table, rows) =>
      within((database) => {
        const names = Object.keys(rows[0] ?? {})
        const places = names.map(() => '?').join(', ')
        const insert = database.prepare(`INSERT INTO ${table} (${names}) VALUES (${places})`)
        database.exec('BEGIN')
        for (const row of rows) insert.run(...(Object.values(row) as SQLInputValue[]))
        database.exec('COMMIT')
      }),
    execute: async (sql) => within((database) => database.exec(sql)),
    refuseAudit: async (refused) =>
      within((database) =>
        database.exec(
          refused
            ? "CREATE TRIGGER refused BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'refused'); END"
            : 'DROP TRIGGER refused',
        ),
      ),
    async [Symbol.asyncDispose]() {},
  }
}

/** @param url the superuser's, of the database that the ledger is in */
export function postgresBooks(url: string): Books {
  const pool = new pg.Pool({ connectionString: url, max: 2 })
  pool.on('error', () => {})
  return {
    query: async <Row>(sql: string) => (await pool.query(sql)).rows as Row[],
    async insert(table, rows) {
      const names = Object.keys(rows[0] ?? {})
      const sql = `INSERT INTO ${table} (${names}) SELECT ${names} FROM json_populate_recordset(NULL::${table}, $1)`
      await pool.query(sql, [JSON.stringify(rows)])
    },
    async execute(sql) {
      await pool.query(sql)
    },
    async refuseAudit(refused) {
      if (!refused) return void (await pool.query('DROP FUNCTION refused CASCADE'))
      await pool.query(`
        CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
        CREATE TRIGGER refused BEFORE INSERT ON audit EXECUTE FUNCTION refused()`)
    },
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

/** How many leases are not over yet. */
export async function openLeases(books: Books): Promise<number> {
  const [row] = await books.query<{ open: number }>(
    "SELECT count(*) AS open FROM leases WHERE state != 'revoked'",
  )
  return Number(row?.open)
}

/** What became of requests that need one approval. */
export interface ApprovalRecord {
  readonly approved: number
  /** Approved more than once, by the one who did. */
  readonly twice: number
  /** Nobody approved it, and yet something was to be minted. */
  readonly unapproved: number
}

/** Of all requests in an environment, by the audit log and their leases. */
export async function approvalsIn(books: Books, environment: string): Promise<ApprovalRecord> {
  const [row] = await books.query<Record<keyof ApprovalRecord, number>>(`
    SELECT count(CASE WHEN approvals > 0 THEN 1 END) AS approved,
      count(CASE WHEN approvals > 1 THEN 1 END) AS twice,
      count(CASE WHEN approvals = 0 AND leases > 0 THEN 1 END) AS unapproved
    FROM (SELECT
      (SELECT count(*) FROM audit a WHERE a.grant_id = g.id AND a.event = 'grant.approved') AS approvals,
      (SELECT count(*) FROM leases l WHERE l.grant_id = g.id) AS leases
      FROM grants g WHERE g.environment = '${environment}') AS requests`)
  const { approved = 0, twice = 0, unapproved = 0 } = row ?? {}
  return { approved: Number(approved), twice: Number(twice), unapproved: Number(unapproved) }
}

/** What must never be, by comparing a target with the ledger. */
export interface Strays {
  /** Roles that no lease of the ledger accounts for. */
  readonly unknown: readonly string[]
  /** Roles whose lease says revoked, with nothing left to do. */
  readonly undead: readonly string[]
}

/**
 * The target is read first: an intent is durable before its role is made. And read again: a role may
 * be revoked, and recorded so, in between.
 */
export async function straysOf(database: Database, books: Books): Promise<Strays> {
  const roles = await database.leases()
  const leases = new Map<string, BookedLease>()
  const rows = await books.query<BookedLease>(
    'SELECT handle, grant_id, state, next_attempt_at FROM leases',
  )
  for (const lease of rows) leases.set(lease.handle, lease)
  const still = new Set(await database.leases())
  const revoked = (handle: string) => {
    const lease = leases.get(handle)
    return lease?.state === 'revoked' && lease.next_attempt_at === null
  }
  return {
    unknown: roles.filter((handle) => !leases.has(handle)),
    undead: roles.filter((handle) => still.has(handle) && revoked(handle)),
  }
}
