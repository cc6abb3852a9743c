import type { EntityUidJson, PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
import {
  ACTION,
  and,
  equal,
  type Facts,
  type Found,
  holdsOf,
  isIn,
  isOfType,
  not,
  or,
  RESOURCE,
  Reference,
} from './facts.ts'

type Node = Readonly<Record<string, unknown>>
/** Whether a policy applies, as far as can be told beforehand: `undefined` where it depends. */
export function foresee(policy: PolicyJson, facts: Facts): boolean | undefined {
  const scope = and(
    scopeHolds(new Reference('principal'), policy.principal, facts),
    and(scopeHolds(ACTION, policy.action, facts), scopeHolds(RESOURCE, policy.resource, facts)),
  )
  return policy.conditions.reduce((so: boolean | undefined, { kind, body }) => {
    if (so === false) return false
    const holds = truth(evaluate(body, facts))
    return and(so, kind === 'when' ? holds : not(holds))
  }, scope)
}

const truth = (found: Found): boolean | undefined =>
  typeof found === 'boolean' ? found : undefined
function scopeHolds(what: Found, scope: object, facts: Facts): boolean | undefined {
  const {
    op,
    entity,
    entities,
    entity_type,
    in: within,
  } = scope as {
    op: string
    entity?: EntityUidJson
    entities?: EntityUidJson[]
    entity_type?: string
    in?: { entity: EntityUidJson }
  }
  if (op === 'All') return true
  if (op === '==') return equal(what, entity, facts)
  if (op === 'in') return isIn(what, entities ?? entity, facts)
  const isType = isOfType(what, entity_type, facts)
  return within ? and(isType, isIn(what, within.entity, facts)) : isType
}

type Operation = (node: never, facts: Facts) => Found
interface Sides {
  readonly left: unknown
  readonly right: unknown
}

/** By what stands as the only key of an expression in Cedar's JSON. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  Value: (value: unknown) => value,
  Var: (name: string) =>
    name === 'resource' ? RESOURCE : name === 'action' ? ACTION : new Reference(name as 'context'),
  '.': ({ left, attr }: { left: unknown; attr: string }, facts) =>
    attribute(evaluate(left, facts), attr, facts),
  '!': ({ arg }: { arg: unknown }, facts) => not(truth(evaluate(arg, facts))),
  '&&': ({ left, right }: Sides, facts) =>
    and(truth(evaluate(left, facts)), truth(evaluate(right, facts))),
  '||': ({ left, right }: Sides, facts) =>
    or(truth(evaluate(left, facts)), truth(evaluate(right, facts))),
  '==': ({ left, right }: Sides, facts) =>
    equal(evaluate(left, facts), evaluate(right, facts), facts),
  '!=': ({ left, right }: Sides, facts) =>
    not(equal(evaluate(left, facts), evaluate(right, facts), facts)),
  in: ({ left, right }: Sides, facts) => isIn(evaluate(left, facts), evaluate(right, facts), facts),
  is: (
    { left, entity_type, in: within }: { left: unknown; entity_type: string; in?: unknown },
    facts,
  ) => {
    const what = evaluate(left, facts)
    const isType = isOfType(what, entity_type, facts)
    return within === undefined ? isType : and(isType, isIn(what, evaluate(within, facts), facts))
  },
  contains: ({ left, right }: Sides, facts) =>
    holdsOf(evaluate(left, facts), [evaluate(right, facts)], 'some'),
  containsAny: ({ left, right }: Sides, facts) =>
    holdsOf(evaluate(left, facts), evaluate(right, facts), 'some'),
  containsAll: ({ left, right }: Sides, facts) =>
    holdsOf(evaluate(left, facts), evaluate(right, facts), 'every'),
  isEmpty: ({ arg }: { arg: unknown }, facts) => {
    const set = evaluate(arg, facts)
    return Array.isArray(set) ? set.length === 0 : undefined
  },
  '<': (sides: Sides, facts) => compare(sides, facts, (left, right) => left < right),
  '<=': (sides: Sides, facts) => compare(sides, facts, (left, right) => left <= right),
  '>': (sides: Sides, facts) => compare(sides, facts, (left, right) => left > right),
  '>=': (sides: Sides, facts) => compare(sides, facts, (left, right) => left >= right),
  'if-then-else': (node: { if: unknown; then: unknown; else: unknown }, facts) => {
    const which = truth(evaluate(node.if, facts))
    return which === undefined ? undefined : evaluate(which ? node.then : node.else, facts)
  },
  Set: (members: unknown[], facts) => members.map((member) => evaluate(member, facts)),
}

/** What isn't understood is not known. */
function evaluate(expression: unknown, facts: Facts): Found {
  const [operator, node] = Object.entries(expression as Node)[0] ?? []
  const operation = operator === undefined ? undefined : OPERATIONS[operator]
  return resolve(operation?.(node as never, facts), facts)
}

/** An attribute of the context as far as it is known: records are looked into first. */
function resolve(found: Found, facts: Facts): Found {
  if (!(found instanceof Reference) || found.to !== 'context' || found.path === '') return found
  return facts.context(found.path) ?? found
}

function attribute(of: Found, name: string, facts: Facts): Found {
  if (of === RESOURCE) return facts.target?.attributes[name]
  if (!(of instanceof Reference)) return undefined
  if (of.to === 'principal') return name === 'owner' ? new Reference('owner') : undefined
  if (of.to !== 'context') return undefined
  return new Reference('context', of.path === '' ? name : `${of.path}.${name}`)
}

function compare(
  { left, right }: Sides,
  facts: Facts,
  holds: (left: number, right: number) => boolean,
): boolean | undefined {
  const [one, other] = [evaluate(left, facts), evaluate(right, facts)]
  return typeof one === 'number' && typeof other === 'number' ? holds(one, other) : undefined
}
