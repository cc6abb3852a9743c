import type { ApprovalRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'

/** The approvals of a request, first first; those of people whose sign-in was cut off since count no more. */
export function countedApprovals(db: Store['db'] | Tx, grantId: string): Promise<ApprovalRow[]> {
  return db
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
}
