import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
import { DELIVERIES } from '../protocol/delivery.ts'
import { Principal } from '../protocol/principal.ts'
import { APPROVAL_METHODS } from './question.ts'
import {
  BUILT_IN_ACTIONS,
  SENSITIVITIES,
  targetTypesOf,
  tiersOf,
  type Vocabulary,
} from './vocabulary.ts'

/** A name in a policy that nothing declares: Cedar's validator lets it pass, and it would never match. */
export interface UnknownLiteral {
  /** `group`, `tier`, … */
  readonly what: string
  readonly value: string
  readonly declared: readonly string[]
}

type Declared = { readonly what: string; readonly names: readonly string[] }

/** What entity ids and compared strings must be among. Principals' own ids are open. */
interface Names {
  readonly entities: ReadonlyMap<string, Declared>
  readonly attributes: ReadonlyMap<string, Declared>
}

function namesOf(vocabulary: Vocabulary): Names {
  const tasks = [...vocabulary.tasks]
  const types = targetTypesOf(vocabulary)
  return {
    entities: new Map([
      ['Group', { what: 'group', names: vocabulary.groups }],
      ['Environment', { what: 'environment', names: Object.keys(vocabulary.environments) }],
      ['Target', { what: 'target', names: Object.keys(vocabulary.targets) }],
      ['Action', { what: 'action', names: [...tasks, ...BUILT_IN_ACTIONS] }],
      ['Broker', { what: 'broker', names: ['broker'] }],
    ]),
    attributes: new Map([
      ['resource.tier', { what: 'tier', names: tiersOf(vocabulary) }],
      ['resource.sensitivity', { what: 'sensitivity', names: SENSITIVITIES }],
      ['resource.type', { what: 'target type', names: types }],
      ['resource.task', { what: 'task', names: tasks }],
      ['resource.kind', { what: 'kind of principal', names: Principal.entries.kind.options }],
      ['context.delivery', { what: 'delivery', names: DELIVERIES }],
      ['context.method', { what: 'method', names: APPROVAL_METHODS }],
    ]),
  }
}

/** Every group, environment, target, action and compared string of a policy that isn't declared. */
export function unknownLiterals(policy: PolicyJson, vocabulary: Vocabulary): UnknownLiteral[] {
  const names = namesOf(vocabulary)
  const found: UnknownLiteral[] = []
  const check = (declared: Declared | undefined, value: string) => {
    if (declared && !declared.names.includes(value)) {
      found.push({ what: declared.what, value, declared: declared.names })
    }
  }
  walk(policy, (node) => {
    if (typeof node.type === 'string' && typeof node.id === 'string') {
      check(names.entities.get(node.type), node.id)
    }
    for (const [attribute, strings] of comparisons(node)) {
      for (const value of strings) check(names.attributes.get(attribute), value)
    }
  })
  return found
}

/** The ids of the domains that a policy names. */
export function domainsIn(policy: PolicyJson): string[] {
  return idsOf('Domain', policy)
}

/** The ids of the targets that a policy names: it may treat them unlike others of their kind. */
export function targetsIn(policy: PolicyJson): string[] {
  return idsOf('Target', policy)
}

function idsOf(entityType: string, policy: PolicyJson): string[] {
  const found: string[] = []
  walk(policy, ({ type, id }) => {
    if (type === entityType && typeof id === 'string') found.push(id)
  })
  return found
}

type Node = Readonly<Record<string, unknown>>

function walk(value: unknown, visit: (node: Node) => void): void {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) visit(value as Node)
  for (const child of Object.values(value)) walk(child, visit)
}

const COMPARING = ['==', '!=', 'contains', 'containsAll', 'containsAny']

/** Attributes (`resource.tier`) with the strings that they are compared with in this expression. */
function* comparisons(node: Node): Generator<[attribute: string, strings: string[]]> {
  for (const operator of COMPARING) {
    const sides = node[operator] as { left?: unknown; right?: unknown } | undefined
    if (!sides) continue
    const [left, right] = [results(sides.left), results(sides.right)]
    for (const attribute of left.attributes) yield [attribute, right.strings]
    for (const attribute of right.attributes) yield [attribute, left.strings]
  }
}

/** What an expression may come out as: itself, members of a set, either branch; not what a condition in it looks at. */
function results(expression: unknown): { attributes: string[]; strings: string[] } {
  const attributes: string[] = []
  const strings: string[] = []
  const open = [expression]
  for (let next = open.pop(); isNode(next); next = open.pop()) {
    const access = next['.']
    const branches = next['if-then-else']
    if (typeof next.Value === 'string') strings.push(next.Value)
    else if (isNode(access)) {
      const base = isNode(access.left) ? access.left.Var : undefined
      if (typeof base === 'string') attributes.push(`${base}.${access.attr}`)
      else open.push(access.left)
    } else if (Array.isArray(next.Set)) open.push(...next.Set)
    else if (isNode(next.Record)) open.push(...Object.values(next.Record))
    else if (isNode(branches)) open.push(branches.then, branches.else)
  }
  return { attributes, strings }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null
}
