import * as v from 'valibot'
import type { AskableQuestion } from '../../protocol/askable.ts'
import { parse } from '../../protocol/parse.ts'
import type { Principal } from '../../protocol/principal.ts'
import { ClaimedContext } from '../../protocol/request.ts'
import { ExplainBody } from '../../protocol/request-explanation.ts'
import { Name } from '../../protocol/values.ts'
import type { App, AppParts } from '../app.ts'
import { askableBy } from '../askable.ts'
import { principalKey, tooOften } from '../rate-limits.ts'
import { explainRequest, foretold } from '../request-explanation.ts'
import { resolveRequest } from '../requests.ts'
import { TokenBuckets } from '../token-buckets.ts'

/** Questions of one principal in a minute: a person at a prompt needs a few. */
const PER_MINUTE = 60

const { repository, branch, commit } = ClaimedContext.entries
const Question = v.strictObject({
  repository: v.optional(repository, ''),
  branch: v.optional(branch, ''),
  commit: v.optional(commit, ''),
  environment: v.exactOptional(Name),
  all: v.exactOptional(
    v.pipe(
      v.literal('true', 'expected true'),
      v.transform(() => true),
    ),
  ),
})

/** What may be asked for, and what would come of a request: nothing is minted, nothing recorded. */
export function askableRoutes(app: App, parts: AppParts): void {
  const { grants } = parts
  const { decider } = grants
  const questions = new TokenBuckets(PER_MINUTE, () => performance.now())
  const count = (principal: Principal) => {
    const seconds = questions.take(principalKey(principal))
    if (seconds > 0) throw tooOften(`that is answered ${PER_MINUTE} times a minute`, seconds)
  }

  app.get('/v1/askable', async (c) => {
    const session = c.get('session')
    const question: AskableQuestion = parse(Question, c.req.query(), { what: 'query' })
    count(session.principal)
    return c.json(await askableBy(session, question, { ...parts, decider }))
  })

  app.post('/v1/policy/explain', async (c) => {
    const session = c.get('session')
    const input = await c.req.json().catch(() => undefined)
    const { details } = parse(ExplainBody, input, { what: 'request' })
    count(session.principal)
    const request = resolveRequest(details, session, parts)
    const evidence = await grants.evidence(request)
    return c.json(foretold(request, explainRequest(session, { request, evidence }, decider)))
  })
}
