import type { AnswerExplanation, Explanation } from '../protocol/explanation.ts'
import { attributesOfPolicy, readAttributes } from './attributes.ts'
import { type Clause, clausesOf, textOfClause, unmetOf } from './clauses.ts'
import type { PolicySet } from './decide.ts'
import type { ParsedPolicy } from './parsed.ts'
import type { PreparedCall } from './prepared.ts'
import { builtInCall, taskCall, UnaskableError } from './request.ts'
import { type Answer, ruleOn } from './ruling.ts'
import type { Stated } from './stated-request.ts'

/** As many permits that nearly applied as are worth reading. */
const MOST_NEAR = 3

/** What the policies say to a request, which of them and by what they read, and what would change it. */
export function explain(stated: Stated, policies: PolicySet): Explanation {
  const { decision, answers, obligation } = ruleOn(stated, policies)
  return {
    version: policies.version,
    decision,
    ...(obligation
      ? { obligation: obligation.wants, then_permitted: [...obligation.thenPermitted] }
      : {}),
    answers: answers.map((answer) => explainAnswer(answer, policies)),
  }
}

function explainAnswer(
  { target, asked, question, decision }: Answer,
  policies: PolicySet,
): AnswerExplanation {
  const call = callOf(question, policies)
  const deciding = policies.policies.filter(({ id }) => decision.policies.includes(id))
  const said = {
    ...(target === undefined ? {} : { target }),
    asked,
    ...('task' in question ? { delivery: question.context.delivery } : {}),
    effect: decision.effect,
    policies: deciding.map((policy) => ({
      id: policy.id,
      effect: policy.json.effect,
      ...describe(policy),
      attributes: call ? readAttributes(attributesOfPolicy(policy.json), call) : {},
    })),
  }
  if (decision.effect === 'permit') return { ...said, near: [] }
  const { because } = decision
  if (because === 'error' || !call) return { ...said, because, near: [] }
  const on = 'task' in question ? 'tasks' : 'built-in'
  const unnamed = because === 'unnamed-delivery'
  return { ...said, because, near: nearest(policies, { on, call, unnamed }) }
}

/** What Cedar is asked; `undefined` where the question can't be put. */
function callOf(question: Answer['question'], policies: PolicySet): PreparedCall | undefined {
  try {
    return 'task' in question
      ? taskCall(question, policies.vocabulary)
      : builtInCall(question, policies.vocabulary)
  } catch (thrown) {
    if (thrown instanceof UnaskableError) return undefined
    throw thrown
  }
}

const describe = ({ description }: ParsedPolicy) =>
  description === undefined ? {} : { description }

/**
 * The permits for such a principal and resource that lack least; none where one applies, and only a forbid is in its
 * way. `unnamed`: those that apply count for nothing, because they don't name the delivery.
 */
function nearest(
  { policies }: PolicySet,
  { on, call, unnamed }: { on: ParsedPolicy['on']; call: PreparedCall; unnamed: boolean },
): AnswerExplanation['near'] {
  const candidates = policies
    .filter((policy) => policy.on === on && policy.json.effect === 'permit')
    .map((policy) => ({ policy, unmet: unmetOf(clausesOf(policy.json), call) }))
    .filter(({ unmet }) => !unmet.some((clause) => isOfAnother(clause, call)))
  if (!unnamed && candidates.some(({ unmet }) => unmet.length === 0)) return []
  return candidates
    .sort((one, other) => one.unmet.length - other.unmet.length)
    .slice(0, MOST_NEAR)
    .map(({ policy, unmet }) => ({
      id: policy.id,
      ...describe(policy),
      unmet: unmet.map((clause) => ({
        condition: textOfClause(clause),
        attributes: readAttributes(attributesOfPolicy(clause.policy), call),
      })),
    }))
}

/** Whether what doesn't hold says that the policy is about another task, resource or kind of principal. */
function isOfAnother(clause: Clause, { principal }: PreparedCall): boolean {
  if (clause.part === 'action' || clause.part === 'resource') return true
  const read = [...attributesOfPolicy(clause.policy)]
  // An agent is in no group, whatever becomes of its person.
  const isAgent = 'type' in principal && principal.type === 'Agent'
  const others = isAgent ? ['principal', 'principal.groups'] : ['principal']
  return read.every((path) => others.includes(path) || /^resource\b/.test(path))
}
