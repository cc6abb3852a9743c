import { answerOf } from './answer.ts'
import { attributesOfPolicy } from './attributes.ts'
import { reachedBy } from './domain.ts'
import { domainsIn } from './literals.ts'
import type { ParsedPolicy } from './parsed.ts'
import type { PolicyTexts } from './prepared.ts'
import type { BuiltInQuestion, TaskQuestion } from './question.ts'
import { builtInCall } from './request.ts'
import { type Asked, TaskPolicies, textsById } from './task-policies.ts'
import type { Vocabulary } from './vocabulary.ts'

/**
 * The answer of the policies, with the ids of those that gave it.
 * - `forbidden`: by these policies, whatever else permits
 * - `not-permitted`: no policy permits it
 * - `unnamed-delivery`: none permits an agent to get it in its environment by naming `context.delivery`
 * - `error`: a policy failed while it was evaluated (Cedar would go on without it), or the question
 *   could not be put; `errors` are for the log
 */
export type Decision =
  | { readonly effect: 'permit'; readonly policies: readonly string[] }
  | {
      readonly effect: 'deny'
      readonly because: 'forbidden' | 'not-permitted' | 'unnamed-delivery' | 'error'
      readonly policies: readonly string[]
      readonly errors: readonly string[]
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
  readonly #tasks: TaskPolicies
  readonly #builtIn: PolicyTexts
  /** Those that some policy names. */
  readonly #domains: ReadonlySet<string>
  #read: ReadonlySet<string> | undefined

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
    this.#tasks = new TaskPolicies(checked.tasks, { vocabulary: checked.vocabulary })
    this.#builtIn = textsById(checked.builtIn)
    this.#domains = new Set(checked.builtIn.flatMap(({ json }) => domainsIn(json)))
  }

  /** Whether any policy on tasks reads an attribute, by its path: `context.reason`. */
  reads(path: string): boolean {
    this.#read ??= new Set(
      this.policies
        .filter(({ on }) => on === 'tasks')
        .flatMap(({ json }) => [...attributesOfPolicy(json)]),
    )
    return this.#read.has(path)
  }

  /** May this principal do this task at this target, now and in this context? Never throws. */
  decide(question: TaskQuestion): Decision {
    return this.ask(question).decision
  }

  /** `decide`, and what the answer would be under hypotheses: far cheaper than deciding anew. */
  ask(question: TaskQuestion): Asked {
    return this.#tasks.ask(question)
  }

  /** May this principal see or revoke another's grant, read the audit log, reach a domain? Never throws. */
  decideOn(question: BuiltInQuestion): Decision {
    const answer = (to: BuiltInQuestion) =>
      answerOf(this.#builtIn, () => builtInCall(to, this.vocabulary))
    const decision = answer(question)
    if (question.action !== 'reach' || decision.effect === 'deny') return decision
    // What is forbidden below a wildcard forbids the wildcard: it would reach that.
    for (const domain of reachedBy(question.domain, this.#domains)) {
      const below = answer({ ...question, domain })
      if (below.effect === 'deny' && below.because !== 'not-permitted') return below
    }
    return decision
  }
}
