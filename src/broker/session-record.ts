import { JitError } from '../lib/errors.ts'
import type { Ceiling, Principal } from '../protocol/principal.ts'
import type { Session, SessionEnd, SignedContext } from './sessions.ts'
import type { SessionRow } from './store/schema.ts'
import type { Store } from './store/store.ts'

const UNSIGNED: SignedContext = { repository: '', branch: '', commit: '' }

/** Now in milliseconds since the epoch, and the seconds that a session may go without a renewal. */
interface Limits {
  readonly now: number
  readonly idle: number
}

/** Why a session is over, if it is, whoever has noticed yet. */
export function endOf(row: SessionRow, { now, idle }: Limits): SessionEnd | undefined {
  if (row.ended_at !== null) return (row.ended_by as SessionEnd | null) ?? 'revoked'
  if (row.expires_at <= now) return 'max-age'
  // A delegated session's renewals ask no provider, so they prove nothing: its parent's count.
  if (row.parent_sid !== null) return undefined
  return row.renewed_at + idle * 1000 <= now ? 'idle' : undefined
}

/** Whether a session goes on: a delegated one no longer than its parent. */
export async function isLive(
  row: SessionRow,
  { db, ...limits }: Limits & { db: Store['db'] },
): Promise<boolean> {
  if (endOf(row, limits)) return false
  if (row.parent_sid === null) return true
  const parent = await rowOf(db, row.parent_sid)
  return parent !== undefined && endOf(parent, limits) === undefined
}

export function rowOf(db: Store['db'], sid: string): Promise<SessionRow | undefined> {
  return db.selectFrom('sessions').selectAll().where('sid', '=', sid).executeTakeFirst()
}

/** The sessions that were delegated from one and haven't ended. */
export function delegatedFrom(db: Store['db'], parent: string): Promise<SessionRow[]> {
  return db
    .selectFrom('sessions')
    .selectAll()
    .where('parent_sid', '=', parent)
    .where('ended_at', 'is', null)
    .execute()
}

export function sessionOf(row: SessionRow): Session {
  return {
    sid: row.sid,
    principal: JSON.parse(row.principal) as Principal,
    issuer: row.issuer,
    clientId: row.client_id,
    jkt: row.jkt,
    authenticatedAt: row.authenticated_at ?? undefined,
    acr: row.acr,
    amr: JSON.parse(row.amr) as string[],
    expiresAt: row.expires_at,
    signed: row.signed === null ? UNSIGNED : (JSON.parse(row.signed) as SignedContext),
    ceiling: row.ceiling === null ? undefined : (JSON.parse(row.ceiling) as Ceiling),
    nonce: row.nonce,
  }
}

/** @param row the session, where it is known */
export function sessionEnded(row?: SessionRow): JitError {
  if (row === undefined || row.parent_sid === null) {
    const hint = 'sign in again with `jit login`'
    return new JitError('session_ended', 'your session has ended', { hint })
  }
  const message = 'this session has ended, or the one that it was handed on from'
  const name = agentNameOf({ id: row.principal_id })
  const hint = `its owner can hand it on again: jit login --agent ${name} --delegate`
  return new JitError('session_ended', message, { hint })
}

/** What an agent calls itself: its id ends in it. */
export const agentNameOf = ({ id }: Pick<Principal, 'id'>) => id.slice(id.lastIndexOf('/') + 1)

/** An agent has an id of its own, for each name that it goes by; the person who signed it in owns it. */
export function agentOf(
  { id, name, groups }: Principal,
  { client, agent }: { client: string; agent: string },
): Principal {
  return {
    kind: 'agent',
    id: `${id}#${encodeURIComponent(client)}/${agent}`,
    name: `${agent}, for ${name}`.slice(0, 256),
    groups,
    owner: id,
  }
}
