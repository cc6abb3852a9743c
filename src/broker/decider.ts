import type { Decision, PolicySet } from '../policy/decide.ts'
import { describeDenial } from '../policy/denial.ts'
import type { GrantContext } from '../protocol/grant.ts'
import type { Fleet } from './fleet.ts'
import type { Policies } from './policies.ts'
import type { ResolvedRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { GrantRow } from './store/schema.ts'
import type { Store } from './store/store.ts'

/** The answer for one target. */
export interface TargetDecision {
  readonly target: string
  readonly decision: Decision
}

/** Why policy denies a task at one target. */
export interface TargetDenial extends TargetDecision {
  readonly decision: Extract<Decision, { effect: 'deny' }>
}

/** Those of the answers that say no; none when every target permits. */
export function denialsOf(decisions: readonly TargetDecision[]): TargetDenial[] {
  return decisions.flatMap(({ target, decision }) =>
    decision.effect === 'deny' ? [{ target, decision }] : [],
  )
}

/** Today's policies on a request: every target has to permit. */
export class Decider {
  readonly #policies: Policies
  readonly #fleet: Fleet
  readonly #store: Store

  constructor(parts: { policies: Policies; fleet: Fleet; store: Store }) {
    this.#policies = parts.policies
    this.#fleet = parts.fleet
    this.#store = parts.store
  }

  get current(): PolicySet {
    return this.#policies.current
  }

  /** The answer for each target of a request. */
  decide(session: Session, request: ResolvedRequest): TargetDecision[] {
    const { repository, branch, commit, break_glass, ...unsigned } = request.context
    return request.members.map(({ target }) => {
      const decision = this.current.decide({
        principal: session.principal,
        task: request.task,
        target: target.name,
        context: {
          ...unsigned,
          signed: { repository, branch, commit },
          breakGlass: break_glass,
          ttl: request.ttlSeconds,
          delivery: 'env',
          authentication: authenticationOf(session),
          now: this.#store.now(),
        },
      })
      return { target: target.name, decision }
    })
  }

  /** A denial in words; targets that were denied for the same reason in one breath. */
  explain({ task, environment }: ResolvedRequest, denials: readonly TargetDenial[]) {
    const alike = Map.groupBy(denials, ({ decision }) => JSON.stringify(decision))
    const words = [...alike.values()].map((group) => {
      const names = group.map(({ target }) => target).join(', ')
      const subject = `${task} in ${environment} at ${names}`
      return group[0] ? describeDenial(group[0].decision, { subject, policies: this.current }) : ''
    })
    const policies = [...new Set(denials.flatMap(({ decision }) => decision.policies))]
    return { message: words.join('; '), policies }
  }

  /** A request as it was recorded, at today's targets: one with live leases can't be removed. */
  recorded(row: GrantRow): ResolvedRequest {
    const members = (JSON.parse(row.targets) as string[]).flatMap(
      (name) => this.#fleet.get(name) ?? [],
    )
    return {
      environment: row.environment,
      tier: row.tier,
      task: row.task,
      members,
      ttlSeconds: row.ttl_seconds,
      context: JSON.parse(row.context) as GrantContext,
      hash: row.request_hash,
    }
  }
}

/** How and when the principal signed in, for policies. */
export function authenticationOf(session: Session) {
  return { acr: session.acr, amr: session.amr, at: session.authenticatedAt }
}
