import type { Obligation } from '../protocol/obligation.ts'
import type { Decision, PolicySet } from './decide.ts'
import { findObligation, type Hypothesis } from './obligations.ts'
import { ownerQuestion } from './owner.ts'
import type { BuiltInQuestion, TaskQuestion } from './question.ts'
import type { Stated } from './stated-request.ts'

/** One question that was put, and what the policies said to it. */
export interface Answer {
  /** Absent where the question is about the broker itself. */
  readonly target?: string
  /** An agent is asked about, and then its owner. */
  readonly asked: 'principal' | 'owner'
  readonly question: TaskQuestion | BuiltInQuestion
  readonly decision: Decision
}

/** What comes of a request, over all its targets. */
export interface Ruling {
  readonly decision: 'permit' | 'obligation' | 'deny'
  readonly answers: readonly Answer[]
  /** What would turn it, and the policies that would permit then. */
  readonly obligation?: { readonly wants: Obligation; readonly thenPermitted: readonly string[] }
}

/** Puts a request to the policies as the broker does: every target, for an agent its owner too, and what would turn a denial. */
export function ruleOn(stated: Stated, policies: PolicySet): Ruling {
  if (stated.kind === 'built-in') {
    const { question } = stated
    const decision = policies.decideOn(question)
    return { decision: decision.effect, answers: [{ asked: 'principal', question, decision }] }
  }
  const asked = questionsOf(stated).map((one) => ({ ...one, ...policies.ask(one.question) }))
  const answers = asked.map(({ asked: who, question, decision }) => ({
    asked: who,
    target: question.target,
    question,
    decision,
  }))
  if (answers.every(permits)) return { decision: 'permit', answers }
  const wants = findObligation({
    ...policies.vocabulary,
    permits: (hypothesis) => asked.every((one) => one.permits(hypothesis)),
  })
  if (!wants) return { decision: 'deny', answers }
  const then = asked.map(({ under }) => under(hypothesisOf(wants)))
  return { decision: 'obligation', answers, obligation: { wants, thenPermitted: idsOf(then) } }
}

/** The ids of all that said what counts: those that forbid where any does; where none does, those that would permit. */
export function decidingPolicies({ answers, obligation }: Ruling): readonly string[] {
  const denials = answers.filter((answer) => !permits(answer))
  const ids = idsOf((denials.length > 0 ? denials : answers).map(({ decision }) => decision))
  return ids.length === 0 && obligation ? obligation.thenPermitted : ids
}

const permits = ({ decision }: Answer) => decision.effect === 'permit'

const idsOf = (decisions: readonly Decision[]) =>
  [...new Set(decisions.flatMap(({ policies }) => policies))].sort()

function questionsOf({
  principal,
  task,
  targets,
  deliveries,
  context,
}: Extract<Stated, { kind: 'task' }>) {
  return targets.flatMap((target): { asked: Answer['asked']; question: TaskQuestion }[] => {
    const delivery = deliveries[target] ?? 'env'
    const question = { principal, task, target, context: { ...context, delivery } }
    const owners = ownerQuestion(question)
    const own = { asked: 'principal', question } as const
    return owners ? [own, { asked: 'owner', question: owners }] : [own]
  })
}

function hypothesisOf({ sign_in, approvals }: Obligation): Hypothesis {
  return sign_in ? { signIn: { acr: sign_in.acr_values[0] ?? '' }, approvals } : { approvals }
}
