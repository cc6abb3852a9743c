import pg from 'pg'

/** A login at a database. */
export interface DatabaseLogin {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: string
}

export type Attempt =
  | { readonly kind: 'accepted' }
  /** The server's own words, and its SQLSTATE. */
  | { readonly kind: 'refused'; readonly message: string; readonly code: string }

/**
 * Logs in for real, and out again.
 * @throws Error where the server can't be asked at all
 */
export async function attemptLogin(login: DatabaseLogin): Promise<Attempt> {
  const client = new pg.Client({ ...login, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    return { kind: 'accepted' }
  } catch (thrown) {
    if (!(thrown instanceof pg.DatabaseError)) throw thrown
    return { kind: 'refused', message: thrown.message, code: thrown.code ?? '' }
  } finally {
    await client.end().catch(() => {})
  }
}
