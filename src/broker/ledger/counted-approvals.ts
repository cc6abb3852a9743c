import type { Principal } from '../../protocol/principal.ts'
import type { ApprovalRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'

type Db = Store['db'] | Tx

/**
 * The approvals of a request, first first, each for the groups that its approver is still known to be
 * in; those of people whose sign-in was cut off since count no more.
 */
export async function countedApprovals(db: Db, grantId: string): Promise<ApprovalRow[]> {
  const approvals = await db
    .selectFrom('approvals')
    .selectAll()
    .where('grant_id', '=', grantId)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('cut_offs')
            .select('cut_offs.principal_id')
            .whereRef('cut_offs.principal_id', '=', 'approvals.approver_id')
            .where('cut_offs.until', '>=', (signIn) =>
              signIn.fn.coalesce('approvals.authenticated_at', signIn.lit(0)),
            ),
        ),
      ),
    )
    .orderBy('at')
    .execute()
  const today = await Promise.all(approvals.map((approval) => inTodaysGroups(db, approval)))
  return today.filter((approval) => approval !== undefined)
}

/** What the provider said last counts: with the newest sign-in or renewal of any of their sessions. */
async function inTodaysGroups(db: Db, approval: ApprovalRow): Promise<ApprovalRow | undefined> {
  const known = await db
    .selectFrom('sessions')
    .select('principal')
    .where('principal_id', '=', approval.approver_id)
    .where('principal_kind', '=', 'human')
    .orderBy('renewed_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (!known) return approval
  const { groups } = JSON.parse(known.principal) as Principal
  const approved = JSON.parse(approval.groups) as string[]
  const left = approved.filter((one) => groups.includes(one))
  if (approved.length > 0 && left.length === 0) return undefined
  return { ...approval, groups: JSON.stringify(left) }
}
