import type { GrantRow, LeaseRow } from '../../src/broker/store/schema.ts'
import { leaseHandle, newId } from '../../src/lib/handle.ts'
import type { Database } from '../servers/database.ts'
import { Client } from './client.ts'
import type { Stage } from './stage.ts'

/** How many rows one statement makes. */
const BATCH = 1000

export interface CrowdOptions {
  readonly size: number
  readonly target: string
  /** Of each, milliseconds since the epoch. */
  readonly expiresAt: (index: number) => number
}

/**
 * Makes a ledger hold many live grants, as if so many clients had asked: one asks, the brokers are
 * killed, and its rows are copied.
 * @returns the handles of the copies: at a database there is no role of theirs until {@link makeRoles}
 */
export async function crowd(stage: Stage, options: CrowdOptions): Promise<string[]> {
  const { size, target, expiresAt } = options
  const { books, nodes } = stage
  const holding = await new Client(await stage.person('dev')).ask({ target })
  const { grant: id } = holding.granted
  for (const node of nodes) if (node.alive) await node.kill()
  holding.vanish()
  const [grant] = await books.query<GrantRow>(`SELECT * FROM grants WHERE id = '${id}'`)
  const [lease] = await books.query<LeaseRow>(`SELECT * FROM leases WHERE grant_id = '${id}'`)
  if (!grant || !lease) throw new Error(`there is no grant ${id}`)
  const handles: string[] = []
  for (let left = size; left > 0; left -= BATCH) {
    const copies = Array.from({ length: Math.min(BATCH, left) }, (_, index) =>
      copied({ grant, lease }, expiresAt(handles.length + index)),
    )
    await books.insert(
      'grants',
      copies.map((copy) => copy.grant),
    )
    await books.insert(
      'leases',
      copies.map((copy) => copy.lease),
    )
    handles.push(...copies.map((copy) => copy.lease.handle))
  }
  return handles
}

function copied(
  { grant, lease }: { grant: GrantRow; lease: LeaseRow },
  expiresAt: number,
): { grant: GrantRow; lease: LeaseRow } {
  const [id, leaseId] = [`g_${newId(Date.now())}`, newId(Date.now())]
  const handle = leaseHandle(lease.handle.slice(1, 6), leaseId)
  const own = { id: leaseId, grant_id: id, handle, external_id: null, expires_at: expiresAt }
  return {
    grant: { ...grant, id, request_key: id, expires_at: expiresAt },
    lease: { ...lease, ...own },
  }
}

/** The roles of these handles, as a mint makes them. */
export async function makeRoles(database: Database, handles: readonly string[]): Promise<void> {
  for (let at = 0; at < handles.length; at += BATCH) {
    const roles = handles.slice(at, at + BATCH)
    const made = roles.map(
      (role) => `CREATE ROLE ${role} LOGIN; GRANT migrator TO ${role};
        COMMENT ON ROLE ${role} IS 'jit lease, owner: migrator'`,
    )
    await database.query(made.join(';'))
  }
}
