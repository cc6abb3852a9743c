import type { Path } from '../lib/document.ts'
import { nearest } from '../lib/nearest.ts'
import type { Deliveries } from '../protocol/delivery.ts'
import type { Principal } from '../protocol/principal.ts'
import type { BuiltInQuestion, GrantResource, SharedContext } from './question.ts'
import { programOf } from './request.ts'
import { contextOf } from './stated-context.ts'
import type { StatedRequest } from './stated-schema.ts'
import { declared, own, type Stating } from './stating.ts'
import { usualDelivery } from './usual-delivery.ts'

/** What is asked, complete: a task at targets, or one of the broker's own actions. */
export type Stated =
  | {
      readonly kind: 'task'
      readonly principal: Principal
      readonly environment: string
      readonly task: string
      readonly targets: readonly string[]
      /** Of each of them. */
      readonly deliveries: Deliveries
      readonly context: SharedContext
    }
  | { readonly kind: 'built-in'; readonly question: BuiltInQuestion }

/**
 * A request as it was written, with everything filled in that it leaves out, and checked as the
 * broker would before it asks the policies.
 * @throws whatever `refuse` throws
 */
export function stateRequest(request: StatedRequest, stating: Stating): Stated {
  const { refuse } = stating
  const principal = principalOf(request.principal, ['principal'], stating)
  if (request.action === undefined) {
    for (const key of ['grant', 'whom', 'domain', 'profile'] as const) {
      if (request[key]) refuse({ path: [key], message: 'expected an action beside it' })
    }
    const { task, environment } = placeOf(request, [], stating)
    const targets = targetsOf({ task, environment, named: request.targets }, stating)
    const context = contextOf(request.context, { principal, targets }, stating)
    const deliveries = deliveriesOf({ request, principal, targets }, stating)
    return { kind: 'task', principal, environment, task, targets, deliveries, context }
  }
  for (const key of ['task', 'environment'] as const) {
    if (request[key] === undefined) continue
    refuse({
      path: [key],
      message: `expected a task or an action; of a grant, write it under grant`,
    })
  }
  const context = contextOf(request.context, { principal, targets: [] }, stating)
  return { kind: 'built-in', question: builtInOf(request, { principal, context }, stating) }
}

function builtInOf(
  request: StatedRequest,
  asked: { readonly principal: Principal; readonly context: SharedContext },
  stating: Stating,
): BuiltInQuestion {
  const { action, whom } = request
  switch (action) {
    case 'view':
    case 'revoke':
      return { ...asked, action, grant: grantOf(request, stating) }
    case 'approve': {
      const { method = 'session' } = { ...stating.context, ...request.context }
      return { ...asked, action, grant: grantOf(request, stating), method }
    }
    case 'offboard':
      if (whom === undefined) {
        return stating.refuse({ path: [], message: 'expected whom: who is to be offboarded' })
      }
      return { ...asked, action, whom: principalOf(whom, ['whom'], stating) }
    case 'reach':
      return { ...asked, action, ...reachOf(request, asked, stating) }
    default:
      return { ...asked, action: 'audit' }
  }
}

function reachOf(
  { domain, profile = '' }: StatedRequest,
  { principal, context }: { principal: Principal; context: SharedContext },
  { refuse }: Stating,
) {
  if (domain === undefined) {
    return refuse({ path: [], message: 'expected the domain that is to be reached' })
  }
  if (principal.kind !== 'agent') {
    refuse({ path: ['principal'], message: 'expected an agent: only copilots are in sandboxes' })
  }
  return { domain, profile, program: programOf(context.command) }
}

/** @param path where it stands */
function principalOf(who: StatedRequest['principal'], path: Path, stating: Stating): Principal {
  const { principals, refuse, inventory } = stating
  const named = typeof who === 'string' ? who : undefined
  const stated = typeof who === 'string' ? own(principals, who) : who
  if (!stated) {
    const names = Object.keys(principals)
    const meant = nearest(String(who), names)
    const message = meant ? `did you mean '${meant}'?` : 'expected it under principals'
    return refuse({ path, message: `there is no '${who}': ${message}` })
  }
  const { kind, groups } = stated
  const id = stated.id ?? named ?? (kind === 'human' ? 'somebody' : `some-${kind}`)
  const name = named ?? id
  for (const [index, group] of groups.entries()) {
    const at = named === undefined ? [...path, 'groups', index] : path
    declared(group, { what: 'group', path: at, names: inventory.groups }, stating)
  }
  if (kind !== 'agent') {
    if (stated.owner !== undefined) refuse({ path, message: 'expected an owner of an agent only' })
    return { kind, id, name, groups }
  }
  if (stated.owner === undefined) refuse({ path, message: 'expected an owner: an agent has one' })
  const owner = own(principals, stated.owner ?? '')
  // A copilot comes with its person's groups.
  return { kind, id, name, groups: owner?.groups ?? groups, owner: owner?.id ?? stated.owner ?? '' }
}

function placeOf(
  {
    task,
    environment,
    targets,
  }: { task?: string | undefined; environment?: string | undefined; targets?: readonly string[] },
  under: Path,
  stating: Stating,
): { task: string; environment: string } {
  const { inventory, refuse } = stating
  if (task === undefined) return refuse({ path: under, message: 'expected a task or an action' })
  declared(task, { what: 'task', path: [...under, 'task'], names: inventory.tasks }, stating)
  const names = Object.keys(inventory.environments)
  // A target says where it is.
  const place = environment ?? own(inventory.targets, targets?.[0] ?? '')?.environment
  if (place === undefined) {
    return refuse({ path: under, message: `expected an environment: ${names.join(', ')}` })
  }
  const path = [...under, environment === undefined ? 'targets' : 'environment']
  return { task, environment: declared(place, { what: 'environment', path, names }, stating) }
}

function targetsOf(
  { task, environment, named }: { task: string; environment: string; named: readonly string[] },
  stating: Stating,
): readonly string[] {
  const { inventory, refuse } = stating
  const here = Object.keys(inventory.targets).filter(
    (name) => inventory.targets[name]?.environment === environment,
  )
  const able = here.filter((name) => inventory.abilities[name]?.tasks.includes(task))
  if (able.length === 0) {
    refuse({ path: ['task'], message: `no target in '${environment}' has the task '${task}'` })
  }
  for (const [index, name] of named.entries()) {
    const path = ['targets', index]
    declared(name, { what: 'target', path, names: here, where: `in '${environment}'` }, stating)
    if (!able.includes(name)) refuse({ path, message: `target '${name}' has no task '${task}'` })
  }
  return named.length > 0 ? named : able
}

/** As the broker resolves them: what is said, or what is usual for who asks. */
function deliveriesOf(
  {
    request,
    principal,
    targets,
  }: { request: StatedRequest; principal: Principal; targets: readonly string[] },
  stating: Stating,
): Deliveries {
  const { delivery } = { ...stating.context, ...request.context }
  const entries = targets.map((name) => {
    const proxied = own(stating.inventory.abilities, name)?.proxied ?? false
    if (delivery === 'proxy' && !proxied) {
      const message = `expected env: '${name}' can't be delivered by a proxy`
      stating.refuse({ path: ['context', 'delivery'], message })
    }
    return [name, delivery ?? usualDelivery(principal.kind, { proxied })] as const
  })
  return Object.fromEntries(entries)
}

function grantOf({ grant }: StatedRequest, stating: Stating): GrantResource {
  if (!grant) {
    return stating.refuse({ path: [], message: 'expected the grant that the action is done to' })
  }
  const { task, environment } = placeOf(grant, ['grant'], stating)
  const principal = principalOf(grant.principal, ['grant', 'principal'], stating)
  const tier = stating.inventory.environments[environment]?.tier ?? ''
  return { id: 'g_of_the_case', principal, environment, task, tier }
}
