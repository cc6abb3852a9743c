import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import type { Principal } from '../protocol/principal.ts'
import type { AuditLog } from './audit.ts'
import type { VerifiedIdentity } from './identity.ts'
import { takeOnce } from './replay.ts'
import { endSession } from './session-end.ts'
import type { SessionRow } from './store/schema.ts'
import type { Store, Tx } from './store/store.ts'

/** Whose sessions end, and which sign-ins count no more. Times are milliseconds since the epoch. */
export interface CutOff {
  /** A person's id stands for their copilots as well. */
  readonly principalIds: readonly string[]
  /** Sign-ins up to then; absent: all until now. */
  readonly until?: number
  readonly actor?: Principal
  /** What may have this effect once: taken in the same transaction. */
  readonly once?: Parameters<typeof takeOnce>[1]
  /** For the audit log: what it came of. */
  readonly detail?: Readonly<Record<string, unknown>>
}

/**
 * Ends the sessions of principals, and sees to it that no sign-in from before opens another: neither
 * a refresh token nor a silent renewal undoes it.
 * @returns the sessions that ended; none where `once` was taken before
 */
export async function cutOff(
  { principalIds, until, actor, once, detail }: CutOff,
  { store, audit }: { store: Store; audit: AuditLog },
): Promise<string[]> {
  const at = store.now()
  return store.transaction(async (tx) => {
    if (once && !(await takeOnce(tx, once))) return []
    const open = await openSessionsOf(tx, new Set(principalIds))
    // A provider's clock may be ahead: what it has signed so far is from before all the same.
    const notBefore = until ?? Math.max(at, ...open.map((row) => row.authenticated_at ?? 0))
    for (const id of principalIds) {
      const effective = await refuseUntil(tx, id, notBefore)
      await audit.append(tx, {
        ...detail,
        event: 'session.cut_off',
        principal: actor ?? null,
        subject: id,
        until: toTimestamp(effective),
      })
    }
    const ended: string[] = []
    for (const { sid, authenticated_at } of open) {
      if (authenticated_at !== null && authenticated_at > notBefore) continue
      const by = { by: 'revoked', at, ...(actor ? { actor } : {}) } as const
      ended.push(...(await endSession(tx, sid, { audit, ...by })))
    }
    return ended
  })
}

/** Sessions of these and of their copilots that haven't ended. */
async function openSessionsOf(tx: Tx, ids: ReadonlySet<string>): Promise<SessionRow[]> {
  const rows = await tx.selectFrom('sessions').selectAll().where('ended_at', 'is', null).execute()
  return rows.filter((row) => {
    const { id, owner = '' } = JSON.parse(row.principal) as Principal
    return ids.has(id) || ids.has(owner)
  })
}

/** @returns until when sign-ins are refused now: a later cut-off stays */
async function refuseUntil(tx: Tx, principalId: string, until: number): Promise<number> {
  const before = await cutOffOf(tx, [principalId])
  if (before !== undefined && before >= until) return before
  await tx
    .insertInto('cut_offs')
    .values({ principal_id: principalId, until })
    .onConflict((conflict) => conflict.column('principal_id').doUpdateSet({ until }))
    .execute()
  return until
}

async function cutOffOf(tx: Tx, principalIds: readonly string[]): Promise<number | undefined> {
  const rows = await tx
    .selectFrom('cut_offs')
    .select('until')
    .where('principal_id', 'in', principalIds)
    .execute()
  return rows.length === 0 ? undefined : Math.max(...rows.map(({ until }) => until))
}

/**
 * Checks that an identity token's sign-in is newer than any cut-off. Of a pipeline it is the token's
 * own time that counts: nobody signs in there.
 * @param session what it is to open or to renew. A token that renews a session may leave `auth_time`
 *   out (OpenID Connect Core 1.0 section 12.2): then it is the session's own sign-in that counts.
 * @throws JitError `token_invalid`
 */
export async function checkCutOff(
  tx: Tx,
  identity: Pick<VerifiedIdentity, 'id' | 'kind' | 'issuedAt' | 'authTime'>,
  session: { readonly principalId: string; readonly authenticatedAt?: number | null },
): Promise<void> {
  const until = await cutOffOf(tx, [identity.id, session.principalId])
  if (until === undefined) return
  const isPipeline = identity.kind === 'pipeline'
  const seconds = isPipeline ? identity.issuedAt : identity.authTime
  const signedIn = seconds === undefined ? session.authenticatedAt : seconds * 1000
  if (signedIn !== undefined && signedIn !== null && signedIn > until) return
  throw isPipeline ? madeBefore() : signedInBefore()
}

function signedInBefore(): JitError {
  const message = 'your access was ended: only a sign-in after that counts'
  return new JitError('token_invalid', message, {
    hint: 'sign in again with `jit login`; a provider that does not say when you signed in (auth_time) can not help',
  })
}

function madeBefore(): JitError {
  const message = "this pipeline's access was ended: only a token made after that counts"
  return new JitError('token_invalid', message, { hint: 'the next job gets one' })
}
