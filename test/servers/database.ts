import pg from 'pg'

/** The administrator's view of a test's PostgreSQL. */
export class Database implements AsyncDisposable {
  readonly #pool: pg.Pool

  constructor(url: string) {
    this.#pool = new pg.Pool({ connectionString: url, max: 2 })
    this.#pool.on('error', () => {})
  }

  async query<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.#pool.query<Row>(sql, values)).rows
  }

  /** The names of all leases' roles. */
  async leases(): Promise<string[]> {
    const rows = await this.query<{ rolname: string }>(
      "SELECT rolname FROM pg_roles WHERE rolname ~ '^j[a-z0-9]{31}$' ORDER BY rolname",
    )
    return rows.map(({ rolname }) => rolname)
  }

  /** Resolves when no lease's role is left. @throws Error naming them after `seconds` */
  async empty(seconds = 30): Promise<void> {
    const deadline = performance.now() + seconds * 1000
    for (;;) {
      const left = await this.leases()
      if (left.length === 0) return
      if (performance.now() > deadline) throw new Error(`roles left: ${left.join(', ')}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end()
  }
}
