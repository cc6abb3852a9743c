import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
import type { Hypothesis } from './obligations.ts'

/** All that a policy can see of a hypothesis: where this looks the same, so is its answer. */
export interface Sight {
  readonly signIn: boolean
  /** Every approval; otherwise whether these groups approved, by one person or by two. */
  readonly everyone: boolean
  readonly groups: ReadonlySet<string>
  readonly groupsByTwo: ReadonlySet<string>
}

type Node = Readonly<Record<string, unknown>>
type Found = { signIn: boolean; everyone: boolean; groups: Set<string>; groupsByTwo: Set<string> }

/** What a policy sees, by the words in its conditions; `undefined`: no hypothesis changes its answer. */
export function sightOf({ conditions }: PolicyJson): Sight | undefined {
  const found: Found = {
    signIn: false,
    everyone: false,
    groups: new Set(),
    groupsByTwo: new Set(),
  }
  look(conditions, found)
  const { signIn, everyone, groups, groupsByTwo } = found
  return signIn || everyone || groups.size > 0 || groupsByTwo.size > 0 ? found : undefined
}

/** What several policies see together. */
export function jointSight(sights: readonly Sight[]): Sight {
  return {
    signIn: sights.some(({ signIn }) => signIn),
    everyone: sights.some(({ everyone }) => everyone),
    groups: new Set(sights.flatMap(({ groups }) => [...groups])),
    groupsByTwo: new Set(sights.flatMap(({ groupsByTwo }) => [...groupsByTwo])),
  }
}

/** How a hypothesis looks to a policy: the same text for any two that it can't tell apart. */
export function viewOf({ signIn, approvals }: Hypothesis, sight: Sight): string {
  const seen = (groups: ReadonlySet<string>, least: number) =>
    approvals.flatMap(({ group, people }) => (people >= least && groups.has(group) ? [group] : []))
  return JSON.stringify([
    sight.signIn ? (signIn?.acr ?? null) : null,
    sight.everyone ? approvals : [],
    seen(sight.groups, 1),
    seen(sight.groupsByTwo, 2),
  ])
}

/** Every mention of `context` counts: one that isn't understood as everything. */
function look(node: unknown, found: Found): void {
  if (typeof node !== 'object' || node === null) return
  if (lookedForGroup(node as Node, found)) return
  const attribute = attributeOfContext(node as Node)
  if (attribute !== undefined) {
    lookAt(attribute, found)
    return
  }
  if ((node as Node).Var === 'context') {
    found.signIn = true
    found.everyone = true
  }
  for (const child of Object.values(node)) look(child, found)
}

/** `context.approvals.contains(Group::"…")` sees that group alone. */
function lookedForGroup(node: Node, found: Found): boolean {
  const { left, right } = (node.contains ?? {}) as { left?: Node; right?: Node }
  const literal = right?.Value as { __entity?: { type: string; id: string } } | undefined
  if (!left || literal?.__entity?.type !== 'Group') return false
  const attribute = attributeOfContext(left)
  if (attribute === 'approvals') found.groups.add(literal.__entity.id)
  else if (attribute === 'approvalsByTwo') found.groupsByTwo.add(literal.__entity.id)
  else return false
  return true
}

function lookAt(attribute: string, found: Found): void {
  if (attribute === 'authentication') found.signIn = true
  if (['approvals', 'approvalsByTwo', 'approvers'].includes(attribute)) found.everyone = true
}

/** `x` of `context.x`, `context has x` and `context has x.y`. */
function attributeOfContext(node: Node): string | undefined {
  const access = (node['.'] ?? node.has) as { left?: Node; attr?: unknown } | undefined
  if (access?.left?.Var !== 'context') return undefined
  const attribute = Array.isArray(access.attr) ? access.attr[0] : access.attr
  return typeof attribute === 'string' ? attribute : undefined
}
