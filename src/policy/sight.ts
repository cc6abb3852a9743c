import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
import type { Hypothesis } from './obligations.ts'

/** All that a policy can see of a hypothesis: where this looks the same, so is its answer. */
export interface Sight {
  readonly signIn: boolean
  /** Whether anybody approves at all: those who would are nobody whom a policy knows. */
  readonly anyone: boolean
  /** Whether these groups approve, by one person or by two. */
  readonly groups: ReadonlySet<string>
  readonly groupsByTwo: ReadonlySet<string>
  /** Every approval. */
  readonly everyone: boolean
}

type Node = Readonly<Record<string, unknown>>
type Found = { -readonly [K in keyof Sight]: Sight[K] extends boolean ? boolean : Set<string> }

/** What a policy sees, by the words in its conditions; `undefined`: no hypothesis changes its answer. */
export function sightOf({ conditions }: PolicyJson): Sight | undefined {
  const found: Found = {
    signIn: false,
    anyone: false,
    groups: new Set(),
    groupsByTwo: new Set(),
    everyone: false,
  }
  look(conditions, found)
  const { signIn, anyone, everyone, groups, groupsByTwo } = found
  const sees = signIn || anyone || everyone || groups.size > 0 || groupsByTwo.size > 0
  return sees ? found : undefined
}

/** What several policies see together. */
export function jointSight(sights: readonly Sight[]): Sight {
  return {
    signIn: sights.some(({ signIn }) => signIn),
    anyone: sights.some(({ anyone }) => anyone),
    groups: new Set(sights.flatMap(({ groups }) => [...groups])),
    groupsByTwo: new Set(sights.flatMap(({ groupsByTwo }) => [...groupsByTwo])),
    everyone: sights.some(({ everyone }) => everyone),
  }
}

/** How a hypothesis looks to a policy: the same text for any two that it can't tell apart. */
export function viewOf({ signIn, approvals }: Hypothesis, sight: Sight): string {
  const seen = (groups: ReadonlySet<string>, least: number) =>
    approvals.flatMap(({ group, people }) => (people >= least && groups.has(group) ? [group] : []))
  return JSON.stringify([
    sight.signIn ? (signIn?.acr ?? null) : null,
    sight.anyone && approvals.length > 0,
    seen(sight.groups, 1),
    seen(sight.groupsByTwo, 2),
    sight.everyone ? approvals : [],
  ])
}

/** Every mention of `context` counts: one that isn't understood as everything. */
function look(node: unknown, found: Found): void {
  if (!isNode(node) || seesGroups(node, found)) return
  const attribute = attributeOfContext(node)
  if (attribute === undefined) {
    if (node.Var === 'context') found.signIn = found.everyone = true
    for (const child of Object.values(node)) look(child, found)
  } else if (attribute === 'authentication') found.signIn = true
  else if (attribute === 'approvers') found.anyone = true
  else if (attribute === 'approvals' || attribute === 'approvalsByTwo') found.everyone = true
}

/** `context.approvals.contains(Group::"…")` and its like see those groups alone. */
function seesGroups(node: Node, found: Found): boolean {
  const test = node.contains ?? node.containsAny ?? node.containsAll
  if (!isNode(test)) return false
  const attribute = attributeOfContext(test.left)
  const groups = groupsOf(test.right)
  if (!groups || (attribute !== 'approvals' && attribute !== 'approvalsByTwo')) return false
  const seen = attribute === 'approvals' ? found.groups : found.groupsByTwo
  for (const group of groups) seen.add(group)
  return true
}

/** The group that an expression is, or the groups of a set; `undefined` where it is or has anything else. */
function groupsOf(expression: unknown): string[] | undefined {
  if (!isNode(expression)) return undefined
  if (Array.isArray(expression.Set)) {
    const members = expression.Set.map(groupsOf)
    return members.every((groups) => groups !== undefined) ? members.flat() : undefined
  }
  const { __entity: literal } = (expression.Value ?? {}) as {
    __entity?: { type: string; id: string }
  }
  return literal?.type === 'Group' ? [literal.id] : undefined
}

/** `x` of `context.x`, `context has x` and `context has x.y`. */
function attributeOfContext(node: unknown): string | undefined {
  const access = isNode(node) ? (node['.'] ?? node.has) : undefined
  if (!isNode(access) || !isNode(access.left) || access.left.Var !== 'context') return undefined
  const attribute = Array.isArray(access.attr) ? access.attr[0] : access.attr
  return typeof attribute === 'string' ? attribute : undefined
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null
}
