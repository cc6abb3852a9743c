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

/** A value, one of the request's variables, or nothing known. */
export type Found = unknown

/** One of the request's variables, or an attribute of its context that isn't known. */
export class Reference {
  readonly to: 'principal' | 'owner' | 'context'
  readonly path: string
  constructor(to: Reference['to'], path = '') {
    this.to = to
    this.path = path
  }
}

/** The target, and what is to be done: their ids are known. */
export const RESOURCE = Symbol('resource')
export const ACTION = Symbol('action')

// Logic with a third value: `undefined` is not known (Kleene).
export const not = (value: boolean | undefined) => (value === undefined ? undefined : !value)

export function and(one: boolean | undefined, other: boolean | undefined): boolean | undefined {
  if (one === false || other === false) return false
  return one === undefined || other === undefined ? undefined : true
}

export const or = (one: boolean | undefined, other: boolean | undefined) =>
  not(and(not(one), not(other)))

/** `{ type, id }` in a scope, `{ __entity: { type, id } }` in a condition. */
function entityOf(found: Found): { type: string; id: string } | undefined {
  if (typeof found !== 'object' || found === null) return undefined
  const { type, id } = ('__entity' in found ? found.__entity : found) as Record<string, unknown>
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined
}

/** The variables as entities: principals are known by their type alone. */
export function equal(left: Found, right: Found, facts: Facts): boolean | undefined {
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

/** Membership, of a place or of any of several. */
export function isIn(what: Found, place: Found, facts: Facts): boolean | undefined {
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

/** `is`, of who asks and of the target; not known of anything else. */
export function isOfType(what: Found, type: unknown, facts: Facts): boolean | undefined {
  if (what === RESOURCE) return facts.target ? type === 'Target' : undefined
  if (!(what instanceof Reference)) return undefined
  return what.to === 'principal' ? type === facts.principal : undefined
}

/** Whether some, or every one, of those wanted are in a set. */
export function holdsOf(set: Found, wanted: Found, how: 'some' | 'every'): boolean | undefined {
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
