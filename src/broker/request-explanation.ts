import { explain } from '../policy/explain.ts'
import type { Explanation } from '../protocol/explanation.ts'
import type { RequestExplanation } from '../protocol/request-explanation.ts'
import { outsideCeiling } from './ceiling.ts'
import type { Decider, Evidence } from './decider.ts'
import { deliveryOf } from './deliveries.ts'
import type { ResolvedRequest } from './requests.ts'
import type { Session } from './sessions.ts'

/** What policies say to a request today and why; what is above the session's ceiling no policy changes. */
export function explainRequest(
  asker: Session,
  { request, evidence }: { request: ResolvedRequest; evidence: Evidence },
  decider: Decider,
): Explanation {
  const { environment, task, deliveries } = request
  const stated = {
    kind: 'task',
    principal: asker.principal,
    ...{ environment, task, deliveries },
    targets: request.members.map(({ target }) => target.name),
    context: decider.context(asker, request, evidence),
  } as const
  const outside = outsideCeiling(request, asker.ceiling)
  const explanation = explain(stated, decider.current)
  if (outside.length === 0) return explanation
  const { obligation: _, then_permitted: __, ...rest } = explanation
  return { ...rest, decision: 'deny', outside: [...outside] }
}

/** A request that nobody made, as whoever would make it sees it. */
export function foretold(request: ResolvedRequest, today: Explanation): RequestExplanation {
  const { environment, tier, task, ttlSeconds } = request
  const targets = request.members.map(({ target, config }) => {
    const delivery = deliveryOf(request, target.name)
    const unset = [...(target.unset?.(delivery) ?? [])]
    const variables = [...new Set([...target.variables, ...Object.keys(config.env)])]
    return {
      ...{ name: target.name, type: target.type, delivery, revocability: target.revocability },
      variables: variables.filter((name) => !unset.includes(name)),
      unset,
    }
  })
  return { ...{ environment, tier, task, targets, today }, ttl: ttlSeconds }
}
