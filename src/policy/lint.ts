import { namesDelivery } from './agent-delivery.ts'
import type { PolicySet } from './decide.ts'
import type { Facts } from './facts.ts'
import { foresee } from './foresee.ts'
import type { ParsedPolicy } from './parsed.ts'
import { locate } from './source.ts'
import type { Inventory } from './vocabulary.ts'

/** Something in a policy that is allowed but hardly meant. */
export interface Warning {
  readonly rule:
    | 'never-applies'
    | 'no-target'
    | 'shadowed'
    | 'unguarded-production'
    | 'unaskable-approval'
    | 'nobody-approves'
    | 'unnamed-delivery'
  readonly policy: string
  /** `file:line` of the policy. */
  readonly at: string
  readonly message: string
}

/** Someone of a kind who asks for a task at a target. */
type Ask = Facts & { readonly target: NonNullable<Facts['target']> }

type Finding = Pick<Warning, 'rule' | 'message'>

const KINDS = ['Human', 'Agent', 'Pipeline'] as const
const PRODUCTION = new Set(['production', 'prod'])

/**
 * What policies would be taken with, though hardly anybody means it. A policy that says
 * `@accept("rule")` isn't warned of for that rule.
 */
export function lint(policies: PolicySet, inventory: Inventory): Warning[] {
  const set = new Lint(policies, inventory)
  return policies.policies.flatMap((policy) => {
    const accepted = (policy.json.annotations?.accept ?? '').split(/[\s,]+/)
    return [...set.look(policy)]
      .filter(({ rule }) => !accepted.includes(rule))
      .map((finding) => ({ ...finding, policy: policy.id, at: locate(policy.source) }))
  })
}

class Lint {
  readonly #inventory: Inventory
  readonly #permits: readonly ParsedPolicy[]
  readonly #forbids: readonly ParsedPolicy[]
  readonly #approving: readonly ParsedPolicy[]
  /** Every task at every target, whether it is configured for it or not. */
  readonly #asks: readonly Ask[]

  constructor({ policies }: PolicySet, inventory: Inventory) {
    const onTasks = policies.filter(({ on }) => on === 'tasks')
    this.#inventory = inventory
    this.#permits = onTasks.filter(({ json }) => json.effect === 'permit')
    this.#forbids = onTasks.filter(({ json }) => json.effect === 'forbid')
    this.#approving = policies.filter(
      ({ on, json }) => on === 'built-in' && json.effect === 'permit',
    )
    this.#asks = KINDS.flatMap((principal) =>
      inventory.tasks.flatMap((action) =>
        Object.entries(inventory.targets).map(([id, { environment, sensitivity, type }]) => {
          const tier = inventory.environments[environment]?.tier ?? ''
          const target = { id, environment, attributes: { tier, sensitivity, type } }
          return { ...UNKNOWN, principal, action, target }
        }),
      ),
    )
  }

  *look(policy: ParsedPolicy): Generator<Finding> {
    yield* this.#approvals(policy)
    if (policy.on !== 'tasks' || policy.json.effect !== 'permit') return
    // Policies may be there before the first target is.
    if (this.#asks.length === 0) return
    const applicable = this.#asks.filter((ask) => foresee(policy.json, ask) !== false)
    const real = applicable.filter((ask) => this.#isConfigured(ask))
    yield* unreached(policy, applicable, real)
    if (real.length === 0) return
    yield* this.#undeliverable(policy, real)
    if (real.every((ask) => this.#isForbidden(policy, ask))) {
      const message = 'is of no effect: what it permits is forbidden whatever the request'
      yield { rule: 'shadowed', message }
    } else yield* this.#unguarded(policy, real)
  }

  #isConfigured({ target, action }: Ask): boolean {
    return this.#inventory.abilities[target.id]?.tasks.includes(action) ?? false
  }

  /** Whether some policy forbids it to everyone whom this one permits it to. */
  #isForbidden(permit: ParsedPolicy, ask: Ask): boolean {
    const groups = groupsOf(permit)
    const inGroup = (group: string) => groups.includes(group) || undefined
    return this.#forbids.some(({ json }) => foresee(json, { ...ask, inGroup }) === true)
  }

  *#unguarded(permit: ParsedPolicy, real: readonly Ask[]): Generator<Finding> {
    const open = real.find(
      (ask) =>
        PRODUCTION.has(ask.target.attributes.tier ?? '') &&
        foresee(permit.json, bare(ask)) !== false &&
        this.#isOpenTo(ask),
    )
    if (!open) return
    const { principal, action, target } = open
    const who = { Human: 'any person', Agent: 'any copilot', Pipeline: 'any pipeline' }[principal]
    const message = `lets ${who} ${action} at ${target.id} in production: no group, approval, sign-in or signed repository guards it`
    yield { rule: 'unguarded-production', message }
  }

  /** Whether the policies as a whole may permit it to whoever asks; of a copilot also to its owner. */
  #isOpenTo(ask: Ask): boolean {
    const asker = bare(ask)
    if (this.#forbids.some(({ json }) => foresee(json, asker) === true)) return false
    if (ask.principal !== 'Agent') return true
    const owner = { ...ask, principal: 'Human' } as const
    const permitted = this.#permits.some(({ json }) => foresee(json, bare(owner)) !== false)
    return permitted && this.#isOpenTo(owner)
  }

  /** An agent gets it in its environment where there is no proxy: only by a permit that says so. */
  *#undeliverable(permit: ParsedPolicy, real: readonly Ask[]): Generator<Finding> {
    const { abilities } = this.#inventory
    const lost = real.every(
      ({ principal, target }) => principal === 'Agent' && !abilities[target.id]?.proxied,
    )
    if (!lost || namesDelivery(permit.json)) return
    const names = [...new Set(real.map(({ target }) => target.id))].join(', ')
    const message = `lets no agent in: at ${names} there is no proxy, and it doesn't name context.delivery`
    yield { rule: 'unnamed-delivery', message }
  }

  *#approvals(policy: ParsedPolicy): Generator<Finding> {
    for (const group of wantedApprovals(policy)) {
      if (!this.#inventory.approvers.includes(group)) {
        const message = `wants the approval of '${group}', which nobody is asked for: approvers doesn't name it`
        yield { rule: 'unaskable-approval', message }
      } else if (!this.#mayApprove(group)) {
        const message = `wants the approval of '${group}', but no policy lets its members approve`
        yield { rule: 'nobody-approves', message }
      }
    }
  }

  #mayApprove(group: string): boolean {
    const inGroup = (other: string) => other === group
    const member: Facts = { ...UNKNOWN, principal: 'Human', action: 'approve', inGroup }
    return this.#approving.some(({ json }) => foresee(json, member) !== false)
  }
}

const UNKNOWN = { inGroup: () => undefined, isNamed: undefined, context: () => undefined }

/** Nobody in particular: in no group, approved by none, signed in long ago, with nothing that an issuer signed. */
const BARE: Readonly<Record<string, unknown>> = {
  approvals: [],
  approvalsByTwo: [],
  approvers: [],
  'authentication.age': Number.MAX_SAFE_INTEGER,
  'authentication.acr': '',
  'authentication.amr': [],
  repository: '',
  branch: '',
  commit: '',
}

const bare = (ask: Ask): Ask => ({
  ...ask,
  inGroup: () => false,
  isNamed: false,
  context: (path) => BARE[path],
})

/** Tasks that a permit names although nothing it is about has them. */
function* unreached(
  policy: ParsedPolicy,
  applicable: readonly Ask[],
  real: readonly Ask[],
): Generator<Finding> {
  if (applicable.length === 0) {
    yield { rule: 'never-applies', message: 'can never apply: no target is as it says' }
    return
  }
  const could = new Set(applicable.map(({ action }) => action))
  const can = new Set(real.map(({ action }) => action))
  const named = policy.json.action.op === 'All' ? [] : [...could]
  const missing = (can.size === 0 ? [...could] : named).filter((task) => !can.has(task))
  if (missing.length === 0) return
  const tasks = missing.map((task) => `'${task}'`).join(', ')
  yield { rule: 'no-target', message: `no target that it is about has the task ${tasks}` }
}

/** The group that a permit's scope is for. */
function groupsOf({ json: { principal } }: ParsedPolicy): string[] {
  const found: string[] = []
  walk(principal, (node) => {
    if (node.type === 'Group' && typeof node.id === 'string') found.push(node.id)
  })
  return found
}

/** Groups that a policy looks for among those that approved. */
function wantedApprovals({ json }: ParsedPolicy): Set<string> {
  const groups = new Set<string>()
  walk(json.conditions, ({ contains, containsAny, containsAll }) => {
    for (const sides of [contains, containsAny, containsAll] as ({ left: unknown } | undefined)[]) {
      if (!sides || !/"attr":"approvals(?:ByTwo)?"/.test(JSON.stringify(sides.left))) continue
      walk(sides, ({ type, id }) => {
        if (type === 'Group' && typeof id === 'string') groups.add(id)
      })
    }
  })
  return groups
}

function walk(value: unknown, visit: (node: Readonly<Record<string, unknown>>) => void): void {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) visit(value as Readonly<Record<string, unknown>>)
  for (const child of Object.values(value)) walk(child, visit)
}
