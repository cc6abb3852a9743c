import { readFile } from 'node:fs/promises'
import pg from 'pg'
import type { Receipt } from '../../src/protocol/grant.ts'
import { attemptLogin, type DatabaseLogin } from './database-login.ts'
import type { Screen } from './screen.ts'

export interface Evidence {
  /** Files: what `jit exec --receipt` wrote, and what the witness kept. */
  readonly receipt: string
  readonly witness: string
  /** Of the database's administrator. */
  readonly adminUrl: string
}

/**
 * Shows by trying that the role is of no use any more.
 * @returns the receipt
 * @throws Error where it still is, or the receipt says something else
 */
export async function proveRevoked(screen: Screen, evidence: Evidence): Promise<Receipt> {
  const login: DatabaseLogin = JSON.parse(await readFile(evidence.witness, 'utf8'))
  const receipt: Receipt = JSON.parse(await readFile(evidence.receipt, 'utf8'))
  screen.say(`as ${login.user}, with the password it had:`)
  const attempt = await attemptLogin(login)
  if (attempt.kind === 'accepted') throw new Error(`${login.user} can still log in`)
  screen.output(`${attempt.message} (SQLSTATE ${attempt.code})`)
  const roles = await rolesNamed(login.user, evidence.adminUrl)
  if (roles !== 0) throw new Error(`${login.user} is still in pg_roles`)
  screen.seen('the login that worked a moment ago is refused, and pg_roles has no such role')
  const revoked = receipt.leases.filter(({ outcome }) => outcome === 'revoked')
  if (!revoked.some(({ handle }) => handle === login.user)) {
    throw new Error(`the receipt does not say that ${login.user} was revoked`)
  }
  return receipt
}

async function rolesNamed(name: string, adminUrl: string): Promise<number> {
  const admin = new pg.Client({ connectionString: adminUrl })
  await admin.connect()
  try {
    const { rowCount } = await admin.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [name])
    return rowCount ?? 0
  } finally {
    await admin.end()
  }
}
