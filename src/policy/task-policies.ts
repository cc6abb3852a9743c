import { namesDelivery, permittedBy, wantsNamedDelivery } from './agent-delivery.ts'
import { answerOf, answerOfBoth, lacksPermit, NOTHING_PERMITS } from './answer.ts'
import type { Decision } from './decide.ts'
import { type Hypothesis, suppose } from './obligations.ts'
import type { ParsedPolicy } from './parsed.ts'
import type { PolicyTexts } from './prepared.ts'
import type { TaskQuestion } from './question.ts'
import { taskCall } from './request.ts'
import { jointSight, type Sight, viewOf } from './sight.ts'
import type { Vocabulary } from './vocabulary.ts'

/** A question that was put, and what its answer would be if. */
export interface Asked {
  readonly decision: Decision
  /** The whole answer in the context of a hypothesis. Never throws. */
  readonly under: (hypothesis: Hypothesis) => Decision
  /** Whether that answer is yes; what was learned from earlier hypotheses saves most evaluations. */
  readonly permits: (hypothesis: Hypothesis) => boolean
}

const NO_HYPOTHESIS: Hypothesis = { approvals: [] }

/**
 * Up to so many policies are evaluated together: another call costs as much as some 50 of them, most
 * of it for handing over the context.
 */
const FEW = 100

/** Policies that are decided on together; nothing where there are none. */
interface Part {
  readonly steady: PolicyTexts | undefined
  readonly varying: PolicyTexts | undefined
}

/**
 * Policies on tasks. Where they are many, those about one target are asked about it alone; and those
 * that can't see a hypothesis are asked once, however many are tried.
 */
export class TaskPolicies {
  readonly #vocabulary: Vocabulary
  readonly #general: Part
  readonly #ofTarget: ReadonlyMap<string, Part>
  readonly #sights: ReadonlyMap<string, Sight>
  /** What all that see anything see together, and what the permits among them do. */
  readonly #all: Sight
  readonly #permits: Sight
  /** Permits that name how credentials are delivered. */
  readonly #naming: ReadonlySet<string>

  constructor(
    policies: readonly ParsedPolicy[],
    { vocabulary, few = FEW }: { vocabulary: Vocabulary; few?: number },
  ) {
    const byTarget = Map.groupBy(policies, (policy) =>
      policies.length > few ? targetOf(policy) : undefined,
    )
    const parts = [...byTarget].map(([target, some]) => [target, partOf(some, few)] as const)
    this.#vocabulary = vocabulary
    this.#general = new Map(parts).get(undefined) ?? NO_PART
    this.#ofTarget = new Map(parts.flatMap(([target, part]) => (target ? [[target, part]] : [])))
    const seeing = policies.filter(({ sight }) => sight !== undefined)
    this.#sights = new Map(seeing.flatMap(({ id, sight }) => (sight ? [[id, sight]] : [])))
    this.#all = jointSight([...this.#sights.values()])
    const permits = seeing.filter(({ json }) => json.effect === 'permit')
    this.#permits = jointSight(permits.flatMap(({ sight }) => sight ?? []))
    const naming = policies.filter(({ json }) => namesDelivery(json))
    this.#naming = new Set(naming.map(({ id }) => id))
  }

  /** Puts a question. Never throws. */
  ask(question: TaskQuestion): Asked {
    const parts = [this.#general, this.#ofTarget.get(question.target) ?? NO_PART]
    const steady = this.#answer(
      parts.map((part) => part.steady),
      { question },
    )
    const varying = parts.map((part) => part.varying)
    const answers = new Map<string, Decision>()
    const vary = (hypothesis: Hypothesis) => {
      const view = viewOf(hypothesis, this.#all)
      const answer = answers.get(view) ?? this.#answer(varying, { question, hypothesis })
      answers.set(view, answer)
      return answer
    }
    const now = vary(NO_HYPOTHESIS)
    const lessons = new Lessons(this.#sights, this.#permits)
    lessons.learn(NO_HYPOTHESIS, now)
    const stands = steady.effect === 'deny' && !lacksPermit(steady)
    return {
      decision: answerOfBoth(steady, now),
      under: (hypothesis) => answerOfBoth(steady, vary(hypothesis)),
      permits: (hypothesis) => {
        // In a pipeline nobody is there to sign in.
        if (hypothesis.signIn && question.principal.kind === 'pipeline') return false
        if (stands || lessons.forbid(hypothesis)) return false
        if (steady.effect === 'deny' && lessons.leaveUnpermitted(hypothesis)) return false
        const answer = vary(hypothesis)
        lessons.learn(hypothesis, answer)
        return answerOfBoth(steady, answer).effect === 'permit'
      },
    }
  }

  #answer(
    sets: readonly (PolicyTexts | undefined)[],
    { question, hypothesis = NO_HYPOTHESIS }: { question: TaskQuestion; hypothesis?: Hypothesis },
  ): Decision {
    const call = () => {
      const context = suppose(question.context, hypothesis)
      return taskCall({ ...question, context }, this.#vocabulary)
    }
    const answer = sets
      .map((policies) => (policies ? answerOf(policies, call) : NOTHING_PERMITS))
      .reduce(answerOfBoth, NOTHING_PERMITS)
    return wantsNamedDelivery(question) ? permittedBy(this.#naming, answer) : answer
  }
}

const NO_PART: Part = { steady: undefined, varying: undefined }

function partOf(policies: readonly ParsedPolicy[], few: number): Part {
  const together = policies.length <= few
  const varying = policies.filter(({ sight }) => together || sight !== undefined)
  const steady = policies.filter(({ sight }) => !together && sight === undefined)
  return { steady: textsOf(steady), varying: textsOf(varying) }
}

/** The one target that a policy's head names: about any other it says nothing, and can't fail. */
function targetOf({ json: { resource } }: ParsedPolicy): string | undefined {
  if (resource.op !== '==' || !('entity' in resource)) return undefined
  const { type, id } = '__entity' in resource.entity ? resource.entity.__entity : resource.entity
  return type === 'Target' ? id : undefined
}

/** What the answers to earlier hypotheses say about later ones that look the same to a policy. */
class Lessons {
  readonly #sights: ReadonlyMap<string, Sight>
  readonly #permits: Sight
  /** Views in which a policy forbids or fails. */
  readonly #forbidden = new Map<string, Set<string>>()
  readonly #unpermitted = new Set<string>()

  constructor(sights: ReadonlyMap<string, Sight>, permits: Sight) {
    this.#sights = sights
    this.#permits = permits
  }

  learn(hypothesis: Hypothesis, answer: Decision): void {
    if (answer.effect === 'permit') return
    if (lacksPermit(answer)) {
      this.#unpermitted.add(viewOf(hypothesis, this.#permits))
    }
    for (const id of answer.policies) {
      const views = this.#forbidden.get(id) ?? new Set()
      this.#forbidden.set(id, views.add(this.#viewOf(hypothesis, id)))
    }
  }

  /** Whether some policy is known to forbid it, or to fail. */
  forbid(hypothesis: Hypothesis): boolean {
    return [...this.#forbidden].some(([id, views]) => views.has(this.#viewOf(hypothesis, id)))
  }

  /** Whether no policy that varies is known to permit it. */
  leaveUnpermitted(hypothesis: Hypothesis): boolean {
    return this.#unpermitted.has(viewOf(hypothesis, this.#permits))
  }

  /** To a policy that sees nothing of them, all hypotheses look the same. */
  #viewOf(hypothesis: Hypothesis, id: string): string {
    const sight = this.#sights.get(id)
    return sight ? viewOf(hypothesis, sight) : ''
  }
}

function textsOf(policies: readonly ParsedPolicy[]): PolicyTexts | undefined {
  return policies.length > 0 ? textsById(policies) : undefined
}

/** Policies as Cedar takes them. */
export function textsById(policies: readonly ParsedPolicy[]): PolicyTexts {
  return Object.fromEntries(policies.map(({ id, source }) => [id, source.text]))
}
