import * as v from 'valibot'
import { JitError } from '../../lib/errors.ts'
import type { Explanation, GrantExplanation } from '../../protocol/explanation.ts'
import { parse } from '../../protocol/parse.ts'
import type { App, AppParts } from '../app.ts'
import { noSuchGrant } from '../grant-errors.ts'
import type { LedgerGrant } from '../ledger/rows.ts'
import { mayDo } from '../permissions.ts'
import { recordedDecisions } from '../recorded-decisions.ts'
import { explainRequest } from '../request-explanation.ts'

const GrantId = v.pipe(v.string('expected the id of a grant'), v.maxLength(64))

/** Why policy says what it says of a grant. */
export function policyRoutes(app: App, parts: AppParts): void {
  const { ledger, store } = parts

  app.get('/v1/policy/explain', async (c) => {
    const id = parse(GrantId, c.req.query('grant'), { what: 'grant' })
    const grant = await ledger.read.grant(id)
    if (!mayDo(c.get('session'), { action: 'view', grant }, parts)) {
      throw noSuchGrant(id)
    }
    const { environment, task } = grant.row
    const today = await explainToday(grant, parts)
    const body: GrantExplanation = {
      grant: id,
      environment,
      task,
      ...(today ? { today } : {}),
      recorded: await recordedDecisions(store.db, id),
    }
    return c.json(body)
  })
}

/** In the context of today: whoever asked as they last signed in, the approvals that are there. */
async function explainToday(
  { row }: LedgerGrant,
  { grants, sessions }: AppParts,
): Promise<Explanation | undefined> {
  const asker = await sessions.last(row.sid)
  if (!asker) return undefined
  try {
    const { decider } = grants
    const request = decider.recorded(row)
    const evidence = await grants.evidence(request, row)
    return explainRequest(asker, { request, evidence }, decider)
  } catch (thrown) {
    // A target that is gone can't be asked about.
    if (thrown instanceof JitError && thrown.code === 'target_refused') return undefined
    throw thrown
  }
}
