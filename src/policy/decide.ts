import { type Hypothesis, suppose } from './obligations.ts'
import type { ParsedPolicy } from './parsed.ts'
import { authorize, type PolicyTexts, type PreparedCall } from './prepared.ts'
import type { BuiltInQuestion, TaskQuestion } from './question.ts'
import { builtInCall, taskCall, UnaskableError } from './request.ts'
import type { Vocabulary } from './vocabulary.ts'

/**
 * The answer of the policies, with the ids of those that gave it.
 * - `forbidden`: by these policies, whatever else permits
 * - `not-permitted`: no policy permits it
 * - `error`: a policy failed while it was evaluated (Cedar would go on without it), or the question
 *   could not be put; `errors` are for the log
 */
export type Decision =
  | { readonly effect: 'permit'; readonly policies: readonly string[] }
  | {
      readonly effect: 'deny'
      readonly because: 'forbidden' | 'not-permitted' | 'error'
      readonly policies: readonly string[]
      readonly errors: readonly string[]
    }

/** A question that was put, and what its answer would be if. */
export interface Asked {
  readonly decision: Decision
  /** The answer to the same question in the context of a hypothesis. Never throws. */
  under(hypothesis: Hypothesis): Decision
}

/** A set of policies that was checked as a whole. Decides; holds no state. */
export class PolicySet {
  /** SHA-256 of the files, in hex. */
  readonly version: string
  /** `@description` by policy id. */
  readonly descriptions: ReadonlyMap<string, string>
  /** How many policies there are. */
  readonly size: number
  /** Each of them, and what they may name: for those who look into policies, not to decide with. */
  readonly policies: readonly ParsedPolicy[]
  readonly vocabulary: Vocabulary
  readonly #tasks: PolicyTexts
  readonly #builtIn: PolicyTexts

  /** Of checked policies only: `loadPolicies` makes it. */
  constructor(checked: {
    version: string
    tasks: readonly ParsedPolicy[]
    builtIn: readonly ParsedPolicy[]
    vocabulary: Vocabulary
  }) {
    const all = [...checked.tasks, ...checked.builtIn]
    this.version = checked.version
    this.size = all.length
    this.policies = all
    this.descriptions = new Map(
      all.flatMap(({ id, description }) => (description ? [[id, description]] : [])),
    )
    this.vocabulary = checked.vocabulary
    this.#tasks = texts(checked.tasks)
    this.#builtIn = texts(checked.builtIn)
  }

  /** May this principal do this task at this target, now and in this context? Never throws. */
  decide(question: TaskQuestion): Decision {
    return answer(this.#tasks, () => taskCall(question, this.vocabulary))
  }

  /** `decide`, to go on with: cheaper than deciding again in a changed context. */
  ask(question: TaskQuestion): Asked {
    return {
      decision: this.decide(question),
      under: (hypothesis) =>
        this.decide({ ...question, context: suppose(question.context, hypothesis) }),
    }
  }

  /** May this principal see or revoke another's grant, or read the audit log? Never throws. */
  decideOn(question: BuiltInQuestion): Decision {
    return answer(this.#builtIn, () => builtInCall(question, this.vocabulary))
  }
}

function texts(policies: readonly ParsedPolicy[]): PolicyTexts {
  return Object.fromEntries(policies.map(({ id, source }) => [id, source.text]))
}

/** Whatever goes wrong on the way is a no. */
function answer(policies: PolicyTexts, call: () => PreparedCall): Decision {
  try {
    const result = authorize(policies, call())
    if (result.type === 'failure') return failed(result.errors.map(({ message }) => message))
    const { decision, diagnostics } = result.response
    if (diagnostics.errors.length > 0) {
      const messages = diagnostics.errors.map(({ error }) => error.message)
      return failed(messages, diagnostics.errors.map(({ policyId }) => policyId).sort())
    }
    const ids = diagnostics.reason.sort()
    if (decision === 'allow') return { effect: 'permit', policies: ids }
    const because = ids.length > 0 ? 'forbidden' : 'not-permitted'
    return { effect: 'deny', because, policies: ids, errors: [] }
  } catch (thrown) {
    const message =
      thrown instanceof UnaskableError ? thrown.message : `evaluation failed: ${thrown}`
    return failed([message])
  }
}

function failed(errors: readonly string[], policies: readonly string[] = []): Decision {
  return { effect: 'deny', because: 'error', policies, errors }
}
