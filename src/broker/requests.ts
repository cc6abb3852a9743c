import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { formatDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import { nearest } from '../lib/nearest.ts'
import type { Deliveries } from '../protocol/delivery.ts'
import type { GrantContext } from '../protocol/grant.ts'
import type { AuthorizationDetails, ClaimedContext } from '../protocol/request.ts'
import type { BrokerConfig } from './config/config.ts'
import { resolveDeliveries } from './deliveries.ts'
import type { Fleet, FleetMember } from './fleet.ts'
import type { Session } from './sessions.ts'

/** A request in the broker's own terms: every name known, every default filled in. */
export interface ResolvedRequest {
  readonly environment: string
  readonly tier: string
  readonly task: string
  readonly members: readonly FleetMember[]
  readonly deliveries: Deliveries
  readonly ttlSeconds: number
  readonly context: GrantContext
  /** Over exactly what would be minted, the roles behind the task included. */
  readonly hash: string
}

const NOTHING_CLAIMED = { repository: '', branch: '', commit: '', dirty: false }

/** A pipeline's issuer says where it runs: what it says itself beside that is nothing to decide on. */
export function claimedBy(
  { principal }: Pick<Session, 'principal'>,
  claimed: ClaimedContext,
): ClaimedContext {
  return principal.kind === 'pipeline' ? NOTHING_CLAIMED : claimed
}

/** @param what names it: `target 'shop-bd' in 'prod'` */
function unknown(what: string, name: string, known: readonly string[]): JitError {
  const meant = nearest(name, known)
  return new JitError('request_invalid', `there is no ${what}`, {
    hint: meant ? `did you mean '${meant}'?` : `there are: ${known.join(', ') || 'none'}`,
  })
}

/** Where else there is the task; where there is none, what there is here. */
function elsewhereHint({ environment, task }: AuthorizationDetails, fleet: Fleet): string {
  const members = fleet.members()
  const able = members.filter(({ target }) => target.tasks.has(task))
  const where = [...new Set(able.map(({ config }) => config.environment))].sort()
  if (where.length > 0) return `there is: --env ${where.join(', --env ')}`
  const here = members.filter(({ config }) => config.environment === environment)
  const tasks = new Set(here.flatMap(({ target }) => [...target.tasks]))
  return `tasks there: ${[...tasks].sort().join(', ') || 'none'}`
}

function resolveTargets(details: AuthorizationDetails, fleet: Fleet): FleetMember[] {
  const { environment, task } = details
  const here = fleet.members().filter(({ config }) => config.environment === environment)
  const able = here.filter(({ target }) => target.tasks.has(task))
  const names = details.targets
  if (names.length === 0) {
    if (able.length > 0) return able
    throw new JitError('request_invalid', `no target in '${environment}' has the task '${task}'`, {
      hint: elsewhereHint(details, fleet),
    })
  }
  return [...new Set(names)].map((name) => {
    const member = able.find(({ target }) => target.name === name)
    if (member) return member
    if (here.some(({ target }) => target.name === name)) {
      const { tasks } = here.find(({ target }) => target.name === name)?.target ?? {}
      throw new JitError('request_invalid', `target '${name}' has no task '${task}'`, {
        hint: `it has: ${[...(tasks ?? [])].sort().join(', ') || 'none'}`,
      })
    }
    const known = able.map(({ target }) => target.name)
    throw unknown(`target '${name}' in '${environment}'`, name, known)
  })
}

function resolveTtl(asked: number | undefined, members: readonly FleetMember[]): number {
  if (asked === undefined) return Math.min(...members.map(({ config }) => config.ttl.default))
  checkTtl(asked, members)
  return asked
}

/**
 * What was asked ahead may be longer than the targets allow by now.
 * @param asked seconds
 * @throws JitError `request_invalid`
 */
export function checkTtl(asked: number, members: readonly FleetMember[]): void {
  for (const { config, target } of members) {
    if (asked <= config.ttl.max) continue
    throw new JitError(
      'request_invalid',
      `${formatDuration(asked)} is longer than '${target.name}' allows`,
      { hint: `ask for at most ${formatDuration(config.ttl.max)}` },
    )
  }
}

/** Two targets that would set one variable can't be in one child. */
function checkVariables(members: readonly FleetMember[]): void {
  const setBy = new Map<string, string>()
  for (const { config, target } of members) {
    for (const variable of [...target.variables, ...Object.keys(config.env)]) {
      const other = setBy.get(variable)
      if (other !== undefined && other !== target.name) {
        throw new JitError(
          'request_invalid',
          `targets '${other}' and '${target.name}' both set ${variable}`,
          { hint: `ask for one of them with --target` },
        )
      }
      setBy.set(variable, target.name)
    }
  }
}

function checkLabels(labels: AuthorizationDetails['labels'], config: BrokerConfig): void {
  const TYPES = { string: 'string', bool: 'boolean', long: 'number' } as const
  for (const [name, value] of Object.entries(labels)) {
    const type = config.labels[name]
    if (type === undefined) throw unknown(`label '${name}'`, name, Object.keys(config.labels))
    if (typeof value !== TYPES[type]) {
      throw new JitError('request_invalid', `label '${name}': expected a ${type}`)
    }
  }
}

/**
 * Checks a request against what is configured.
 * @throws JitError `request_invalid`, naming what there is instead
 */
export function resolveRequest(
  details: AuthorizationDetails,
  session: Pick<Session, 'signed' | 'principal'>,
  { config, fleet }: { config: BrokerConfig; fleet: Fleet },
): ResolvedRequest {
  const { environment, task } = details
  const tier = config.environments[environment]?.tier
  if (tier === undefined)
    throw unknown(`environment '${environment}'`, environment, Object.keys(config.environments))
  if (!config.tasks.includes(task)) throw unknown(`task '${task}'`, task, config.tasks)
  const members = resolveTargets(details, fleet)
  checkVariables(members)
  const { kind } = session.principal
  const deliveries = resolveDeliveries(members, { asked: details.delivery, kind })
  checkLabels(details.labels, config)
  if (details.break_glass && details.reason.trim() === '') {
    throw new JitError('request_invalid', 'an emergency needs a reason', { hint: 'give --reason' })
  }
  const ttlSeconds = resolveTtl(details.ttl, members)
  const { claimed, command, labels, reason, ticket, break_glass } = details
  const context: GrantContext = {
    ...session.signed,
    claimed: claimedBy(session, claimed),
    command,
    reason,
    break_glass,
    ticket,
    labels,
  }
  const targets = members.map(({ target }) => [target.name, target.rights(task)])
  const bound = { environment, task, targets, deliveries, ttl: ttlSeconds, context }
  const hash = createHash('sha256')
    .update(String(canonicalize(bound)))
    .digest('hex')
  return { environment, tier, task, members, deliveries, ttlSeconds, context, hash }
}

/**
 * What is to run must be what was asked ahead for.
 * @throws JitError `request_changed`, naming what differs
 */
export function checkSame(
  asked: GrantContext,
  now: Pick<GrantContext, 'repository' | 'branch' | 'commit' | 'claimed' | 'command'>,
): void {
  const differs = (['repository', 'branch', 'commit', 'claimed', 'command'] as const).find(
    (part) => canonicalize(asked[part]) !== canonicalize(now[part]),
  )
  if (differs === undefined) return
  const what =
    differs === 'command'
      ? 'the command, its directory or its program'
      : 'the repository, branch, commit or working tree'
  throw new JitError('request_changed', `${what} is not what was asked for`, {
    hint: 'run exactly what was asked for, or ask again',
  })
}
