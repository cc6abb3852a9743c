import type { Principal } from '../protocol/principal.ts'
import type { AuditLog } from './audit.ts'
import { closeSandboxes } from './sandbox-close.ts'
import { delegatedFrom } from './session-record.ts'
import type { SessionEnd } from './sessions.ts'
import type { Tx } from './store/store.ts'

/** What a session is ended by. */
interface Ended {
  readonly by: SessionEnd
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Who ended it, where that isn't its own principal. */
  readonly actor?: Principal
}

/**
 * Ends a session, once, and those delegated from it.
 * @returns those that it was this call that ended; none when it had ended before
 */
export async function endSession(
  tx: Tx,
  sid: string,
  { audit, ...ended }: Ended & { audit: AuditLog },
): Promise<string[]> {
  if (!(await close(tx, sid, { audit, ...ended }))) return []
  const closed = [sid]
  for (const child of await delegatedFrom(tx, sid)) {
    if (await close(tx, child.sid, { audit, at: ended.at, by: 'parent' })) closed.push(child.sid)
  }
  return closed
}

/** Ends every session, and with it what lives on it. @returns how many were open */
export async function endEverySession(
  tx: Tx,
  { audit, at }: { audit: AuditLog; at: number },
): Promise<number> {
  const open = await tx
    .selectFrom('sessions')
    .select('sid')
    .where('ended_at', 'is', null)
    .orderBy('sid')
    .execute()
  for (const { sid } of open) await endSession(tx, sid, { audit, at, by: 'revoked' })
  return open.length
}

async function close(
  tx: Tx,
  sid: string,
  { audit, by, at, actor }: Ended & { audit: AuditLog },
): Promise<boolean> {
  const row = await tx
    .updateTable('sessions')
    .set({ ended_at: at, ended_by: by })
    .where('sid', '=', sid)
    .where('ended_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  if (!row) return false
  const own = JSON.parse(row.principal) as Principal
  await audit.append(tx, {
    event: 'session.ended',
    principal: actor ?? own,
    session: sid,
    by,
    ...(actor ? { whose: { kind: own.kind, id: own.id, name: own.name } } : {}),
  })
  await closeSandboxes(tx, { sid }, { audit, by: 'session', at, detail: { session_by: by } })
  return true
}
