import type { EntityUidJson, PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'

/** What is known of a request before there is one; `undefined`: nothing. */
export interface Facts {
  readonly principal: 'Human' | 'Agent' | 'Pipeline'
  readonly action: string
  /** Absent: any resource. */
  readonly target?: {
    readonly id: string
    readonly environment: string
    readonly attributes: Readonly<Record<string, string>>
  }
  /** Whether the person (an agent's owner) is in a group. */
  readonly inGroup: (group: string) => boolean | undefined
  /** Whether they may be one that a policy names by id. */
  readonly isNamed: false | undefined
  /** An attribute of the context: `authentication.age`. */
  readonly context: (path: string) => unknown
}

type Node = Readonly<Record<string, unknown>>
/** A value, one of the request's variables, or nothing known. */
type Found = unknown

class Reference {
  readonly to: 'principal' | 'owner' | 'context'
  readonly path: string
  constructor(to: Reference['to'], path = '') {
    this.to = to
    this.path = path
  }
}

const RESOURCE = Symbol('resource')
const ACTION = Symbol('action')

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
const not = (value: boolean | undefined) => (value === undefined ? undefined : !value)

function and(one: boolean | undefined, other: boolean | undefined): boolean | undefined {
  if (one === false || other === false) return false
  return one === undefined || other === undefined ? undefined : true
}

const or = (one: boolean | undefined, other: boolean | undefined) => not(and(not(one), not(other)))

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

/** `{ type, id }` in a scope, `{ __entity: { type, id } }` in a condition. */
function entityOf(found: Found): { type: string; id: string } | undefined {
  if (typeof found !== 'object' || found === null) return undefined
  const { type, id } = ('__entity' in found ? found.__entity : found) as Record<string, unknown>
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined
}

/** The variables as entities: principals are known by their type alone. */
function equal(left: Found, right: Found, facts: Facts): boolean | undefined {
  for (const [one, other] of [
    [left, right],
    [right, left],
  ]) {
    const entity = entityOf(other)
    if (one === ACTION && entity) return entity.id === facts.action
    if (one === RESOURCE && entity) return facts.target && entity.id === facts.target.id
    if (one instanceof Reference && one.to !== 'context' && entity) {
      const type = one.to === 'owner' ? 'Human' : facts.principal
      return entity.type === type ? facts.isNamed : false
    }
  }
  if (isOpaque(left) || isOpaque(right)) return undefined
  return JSON.stringify(left) === JSON.stringify(right)
}

const isOpaque = (found: Found) =>
  found === undefined || typeof found === 'symbol' || found instanceof Reference

function isIn(what: Found, place: Found, facts: Facts): boolean | undefined {
  if (Array.isArray(place)) {
    return place.map((one) => isIn(what, one, facts)).reduce(or, false)
  }
  const entity = entityOf(place)
  if (!entity) return undefined
  if (what === ACTION) return entity.id === facts.action
  if (what === RESOURCE) {
    if (!facts.target) return undefined
    return entity.id === facts.target[entity.type === 'Environment' ? 'environment' : 'id']
  }
  if (!(what instanceof Reference) || what.to === 'context') return undefined
  if (entity.type !== 'Group') return equal(what, place, facts)
  // A copilot is in no group itself.
  if (what.to === 'principal' && facts.principal === 'Agent') return false
  return facts.inGroup(entity.id)
}

function isOfType(what: Found, type: unknown, facts: Facts): boolean | undefined {
  if (what === RESOURCE) return facts.target ? type === 'Target' : undefined
  if (!(what instanceof Reference)) return undefined
  return what.to === 'principal' ? type === facts.principal : undefined
}

function holdsOf(set: Found, wanted: Found, how: 'some' | 'every'): boolean | undefined {
  if (!Array.isArray(set)) return undefined
  // Nothing is in an empty set, whatever is looked for.
  if (set.length === 0 && how === 'some') return false
  if (!Array.isArray(wanted)) return undefined
  const holds = wanted.map((one) => isMember(one, set))
  return how === 'some' ? holds.reduce(or, false) : holds.reduce(and, true)
}

function isMember(one: Found, set: readonly Found[]): boolean | undefined {
  if (set.length === 0) return false
  if (isOpaque(one)) return undefined
  const text = JSON.stringify(one)
  if (set.some((member) => !isOpaque(member) && JSON.stringify(member) === text)) return true
  return set.some(isOpaque) ? undefined : false
}

function compare(
  { left, right }: Sides,
  facts: Facts,
  holds: (left: number, right: number) => boolean,
): boolean | undefined {
  const [one, other] = [evaluate(left, facts), evaluate(right, facts)]
  return typeof one === 'number' && typeof other === 'number' ? holds(one, other) : undefined
}
