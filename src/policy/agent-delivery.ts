import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
import type { Decision } from './decide.ts'
import type { TaskQuestion } from './question.ts'

type Node = Readonly<Record<string, unknown>>

/**
 * Whether a permit counts only if it names how credentials are delivered: an agent that gets them in its
 * environment can read them, and nobody who wrote "agents may plan" has said that it may.
 */
export function wantsNamedDelivery({
  principal,
  context,
}: Pick<TaskQuestion, 'principal' | 'context'>): boolean {
  return principal.kind === 'agent' && context.delivery === 'env'
}

/** Whether a policy's own conditions read `context.delivery`; asking whether there is one says nothing. */
export function namesDelivery({ conditions }: Pick<PolicyJson, 'conditions'>): boolean {
  return reads(conditions)
}

function reads(node: unknown): boolean {
  if (!isNode(node)) return false
  const access = node['.']
  if (isNode(access) && access.attr === 'delivery' && isContext(access.left)) return true
  return Object.values(node).some(reads)
}

const isContext = (node: unknown) => isNode(node) && node.Var === 'context'
const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null

/** The answer where only these permits count. */
export function permittedBy(named: ReadonlySet<string>, decision: Decision): Decision {
  if (decision.effect === 'deny') return decision
  const policies = decision.policies.filter((id) => named.has(id))
  if (policies.length > 0) return { effect: 'permit', policies }
  return { effect: 'deny', because: 'unnamed-delivery', policies: [], errors: [] }
}
