import * as v from 'valibot'
import { Delivery } from '../protocol/delivery.ts'
import type { RecordedDecision } from '../protocol/explanation.ts'
import type { Store } from './store/store.ts'

/** What an entry on a decision has, beside what every entry has. */
const DecisionEntry = v.object({
  seq: v.number(),
  at: v.string(),
  event: v.string(),
  policy_version: v.string(),
  decisions: v.array(
    v.object({
      target: v.string(),
      delivery: Delivery,
      decision: v.object({ effect: v.string(), policies: v.array(v.string()) }),
    }),
  ),
})

/** The decisions on a grant that the audit log has, oldest first. */
export async function recordedDecisions(
  db: Store['db'],
  grant: string,
): Promise<RecordedDecision[]> {
  const rows = await db
    .selectFrom('audit')
    .select('entry')
    .where('grant_id', '=', grant)
    .orderBy('seq')
    .execute()
  return rows.flatMap(({ entry }) => {
    const { success, output } = v.safeParse(DecisionEntry, JSON.parse(entry))
    if (!success) return []
    const { seq, at, event, policy_version, decisions } = output
    const said = decisions.map(({ target, delivery, decision }) => ({
      target,
      delivery,
      ...decision,
    }))
    return [{ seq, at, event, version: policy_version, decisions: said }]
  })
}
