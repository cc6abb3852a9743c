import { JitError } from '../lib/errors.ts'
import { tracing } from '../lib/tracing.ts'
import type { Decision, PolicySet } from '../policy/decide.ts'
import { describeDenial } from '../policy/denial.ts'
import { findObligation, type Hypothesis } from '../policy/obligations.ts'
import { ownerQuestion } from '../policy/owner.ts'
import type { ForgeAnswer, SharedContext, TaskQuestion } from '../policy/question.ts'
import type { Deliveries, Delivery } from '../protocol/delivery.ts'
import type { GrantContext } from '../protocol/grant.ts'
import type { Obligation } from '../protocol/obligation.ts'
import { outsideCeiling } from './ceiling.ts'
import type { BrokerConfig } from './config/config.ts'
import { checkDeliveries, deliveryOf, isProxied } from './deliveries.ts'
import type { Fleet } from './fleet.ts'
import { CEILING_HINT, DENIED_HINT, PROXY_HINT, type Sayable, sayingHint } from './grant-errors.ts'
import type { Policies } from './policies.ts'
import type { ResolvedRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { ApprovalRow, GrantRow } from './store/schema.ts'
import type { Store } from './store/store.ts'

/** The answer for one target. */
export interface TargetDecision {
  readonly target: string
  /** How its credential would reach the command. */
  readonly delivery: Delivery
  readonly decision: Decision
}

/** Why policy denies a task at one target. */
export interface TargetDenial extends TargetDecision {
  readonly decision: Extract<Decision, { effect: 'deny' }>
}

/** Stands for whatever somebody would say. */
const SAID_SOMETHING = '…'

/** What is known of a request beside what its client says. */
export interface Evidence {
  /** Groups of which a member approved; of which two different members did; those people's ids. */
  readonly approvals: readonly string[]
  readonly approvalsByTwo: readonly string[]
  readonly approvers: readonly string[]
  /** What the forge says of commit and branch. */
  readonly forge?: ForgeAnswer
}

/** What policy says to a request today. */
export type Assessment = { readonly decisions: readonly TargetDecision[] } & (
  | { readonly kind: 'permitted' }
  | {
      readonly kind: 'denied'
      readonly denials: readonly TargetDenial[]
      readonly outside?: string
      /** Whether it would be permitted where a proxy uses the credentials in the command's place. */
      readonly byProxy?: boolean
      /** What would help if it were said, whatever it is. */
      readonly unsaid?: readonly Sayable[]
    }
  /** It would permit with this; `wantedBy`: ids of the policies that say so. */
  | {
      readonly kind: 'waits'
      readonly obligation: Obligation
      readonly wantedBy: readonly string[]
    }
)

/** Those of the answers that say no; none when every target permits. */
function denialsOf(decisions: readonly TargetDecision[]): TargetDenial[] {
  return decisions.flatMap(({ target, delivery, decision }) =>
    decision.effect === 'deny' ? [{ target, delivery, decision }] : [],
  )
}

/** What approvals count for, those of anything but `subjectHash` left out. */
export function evidenceOf(
  approvals: readonly ApprovalRow[],
  { subjectHash, forge }: { subjectHash: string; forge?: ForgeAnswer | undefined },
): Evidence {
  const valid = approvals.filter(({ subject_hash }) => subject_hash === subjectHash)
  const groups = valid.flatMap((row) => JSON.parse(row.groups) as string[])
  const once = [...new Set(groups)]
  return {
    approvals: once,
    approvalsByTwo: once.filter((group) => groups.indexOf(group) !== groups.lastIndexOf(group)),
    approvers: valid.map(({ approver_id }) => approver_id),
    ...(forge ? { forge } : {}),
  }
}

/** Who asks, as policies see them. */
type Asker = Pick<Session, 'principal' | 'authenticatedAt' | 'acr' | 'amr' | 'ceiling'>

/** Today's policies on a request: every target has to permit. */
export class Decider {
  readonly #config: Pick<BrokerConfig, 'approvers' | 'acr' | 'environments'>
  readonly #policies: Policies
  readonly #fleet: Fleet
  readonly #store: Store

  constructor(parts: {
    config: Pick<BrokerConfig, 'approvers' | 'acr' | 'environments'>
    policies: Policies
    fleet: Fleet
    store: Store
  }) {
    this.#config = parts.config
    this.#policies = parts.policies
    this.#fleet = parts.fleet
    this.#store = parts.store
  }

  get current(): PolicySet {
    return this.#policies.current
  }

  /**
   * The answer for each target of a request, and of a denial, the least that would turn it. An
   * agent's is no wherever its owner's would be, and whatever is above its session's ceiling.
   */
  assess(asker: Asker, request: ResolvedRequest, evidence: Evidence): Assessment {
    const { environment, task } = request
    const attributes = { 'jit.environment': environment, 'jit.task': task }
    return tracing.during('decide', { attributes }, () => {
      const assessment = this.#assess(asker, request, evidence)
      tracing.note({ 'jit.outcome': assessment.kind })
      return assessment
    })
  }

  #assess(asker: Asker, request: ResolvedRequest, evidence: Evidence): Assessment {
    const outside = outsideCeiling(request, asker.ceiling)
    if (outside.length > 0) return aboveCeiling(request, outside)
    const questions = this.#questions(asker, request, evidence)
    const decisions = questions.map(({ target, delivery, decisions: answers }) => ({
      target,
      delivery,
      decision: strictest(answers.map(({ decision }) => decision)),
    }))
    const denials = denialsOf(decisions)
    if (denials.length === 0) return { kind: 'permitted', decisions }
    const open = questions.flatMap((question) => question.decisions)
    const would = (hypothesis: Hypothesis) => open.map(({ under }) => under(hypothesis))
    const permits = (hypothesis: Hypothesis) => open.every((one) => one.permits(hypothesis))
    const obligation = findObligation({ ...this.#config, permits })
    if (!obligation) {
      const byProxy = this.#permitsByProxy(asker, request, evidence)
      const unsaid = this.#unsaid(asker, request, evidence)
      return { kind: 'denied', decisions, denials, byProxy, unsaid }
    }
    const forbidding = denials.flatMap(({ decision }) => decision.policies)
    // Where none forbids, those that would permit want it.
    const wanting =
      forbidding.length > 0
        ? forbidding
        : would(hypothesisOf(obligation)).flatMap(({ policies }) => policies)
    return { kind: 'waits', decisions, obligation, wantedBy: [...new Set(wanting)].sort() }
  }

  /** Whether all that is in the way of an agent is that it would hold what a proxy could hold for it. */
  #permitsByProxy(asker: Asker, request: ResolvedRequest, evidence: Evidence): boolean {
    const { members, deliveries } = request
    const proxied = members.filter(isProxied).map(({ target }) => target.name)
    if (asker.principal.kind !== 'agent' || !proxied.some((name) => deliveries[name] === 'env')) {
      return false
    }
    const changed = Object.fromEntries(proxied.map((name) => [name, 'proxy'] as const))
    const other = { ...request, deliveries: { ...deliveries, ...changed } }
    return this.#questions(asker, other, evidence)
      .flatMap(({ decisions }) => decisions)
      .every(({ decision }) => decision.effect === 'permit')
  }

  /** What of a request was left empty, and keeps it from being permitted, at once or after what else policy wants. */
  #unsaid(asker: Asker, request: ResolvedRequest, evidence: Evidence): readonly Sayable[] {
    const empty = (['reason', 'ticket'] as const).filter((name) => request.context[name] === '')
    const some = empty.filter((name) => this.current.reads(`context.${name}`))
    const tries = some.length === 2 ? [...some.map((name) => [name]), some] : [some]
    const helps = (names: readonly Sayable[]) => {
      const said = Object.fromEntries(names.map((name) => [name, SAID_SOMETHING]))
      const other = { ...request, context: { ...request.context, ...said } }
      const open = this.#questions(asker, other, evidence).flatMap(({ decisions }) => decisions)
      const permits = (hypothesis: Hypothesis) => open.every((one) => one.permits(hypothesis))
      return (
        permits({ approvals: [] }) || findObligation({ ...this.#config, permits }) !== undefined
      )
    }
    return tries.find((names) => names.length > 0 && helps(names)) ?? []
  }

  /** One question a target, and for an agent its owner's as well: each with its answer, and under a hypothesis. */
  #questions(asker: Asker, request: ResolvedRequest, evidence: Evidence) {
    const policies = this.current
    return request.members.map(({ target }) => {
      const delivery = deliveryOf(request, target.name)
      const question = this.#question(asker, { request, target: target.name, evidence })
      const owner = ownerQuestion(question)
      const decisions = (owner ? [question, owner] : [question]).map((one) => policies.ask(one))
      return { target: target.name, delivery, decisions }
    })
  }

  #question(
    asker: Asker,
    asked: { request: ResolvedRequest; target: string; evidence: Evidence },
  ): TaskQuestion {
    const { request, target, evidence } = asked
    const delivery = deliveryOf(request, target)
    const context = { ...this.context(asker, request, evidence), delivery }
    return { principal: asker.principal, task: request.task, target, context }
  }

  /** What a request is decided on at any of its targets, beside who, what and where. */
  context(asker: Asker, request: ResolvedRequest, evidence: Evidence): SharedContext {
    const { repository, branch, commit, break_glass, ...unsigned } = request.context
    return {
      ...unsigned,
      ...evidence,
      signed: { repository, branch, commit },
      breakGlass: break_glass,
      ttl: request.ttlSeconds,
      authentication: authenticationOf(asker),
      now: this.#store.now(),
    }
  }

  /** A denial in words, and what can be done about it; targets that were denied for the same reason in one breath. */
  explain(
    { task, environment }: ResolvedRequest,
    { denials, outside, byProxy, unsaid = [] }: Extract<Assessment, { kind: 'denied' }>,
  ) {
    if (outside) return { message: outside, policies: [], hint: CEILING_HINT }
    const alike = Map.groupBy(denials, ({ decision }) => JSON.stringify(decision))
    const words = [...alike.values()].map((group) => {
      const names = group.map(({ target }) => target).join(', ')
      const subject = `${task} in ${environment} at ${names}`
      return group[0] ? describeDenial(group[0].decision, { subject, policies: this.current }) : ''
    })
    const policies = [...new Set(denials.flatMap(({ decision }) => decision.policies))]
    const otherwise = byProxy ? PROXY_HINT : DENIED_HINT
    const hint = unsaid.length > 0 ? sayingHint(unsaid) : otherwise
    return { message: words.join('; '), policies, hint }
  }

  /** A grant's tier as it is configured today. */
  tier({ environment, tier }: Pick<GrantRow, 'environment' | 'tier'>): string {
    return this.#config.environments[environment]?.tier ?? tier
  }

  /**
   * A request as it was recorded, at today's targets. One with live leases can't be removed.
   * @throws JitError `target_refused` when one is gone, has the task no more, is in another environment, or
   * can't be delivered as it was asked for
   */
  recorded(row: GrantRow): ResolvedRequest {
    const { task, environment } = row
    const members = (JSON.parse(row.targets) as string[]).map((name) => {
      const member = this.#fleet.get(name)
      const same = member?.config.environment === environment && member.target.tasks.has(task)
      if (same) return member
      throw new JitError(
        'target_refused',
        `'${name}' has no task '${task}' in '${environment}' any more`,
      )
    })
    const deliveries = JSON.parse(row.deliveries) as Deliveries
    checkDeliveries(members, deliveries)
    return {
      environment,
      tier: this.tier(row),
      task,
      members,
      deliveries,
      ttlSeconds: row.ttl_seconds,
      context: decidedContext(row),
      hash: row.request_hash,
    }
  }
}

/** What was asked for, where the client has stood since as far as policy permitted it. */
function decidedContext(row: GrantRow): GrantContext {
  const asked = JSON.parse(row.context) as GrantContext
  if (row.claimed_decided === null) return asked
  return { ...asked, claimed: JSON.parse(row.claimed_decided) as GrantContext['claimed'] }
}

function aboveCeiling(request: ResolvedRequest, outside: readonly string[]): Assessment {
  const decision = { effect: 'deny', because: 'not-permitted', policies: [], errors: [] } as const
  const decisions = request.members.map(({ target: { name } }) => ({
    target: name,
    delivery: deliveryOf(request, name),
    decision,
  }))
  const words = `${outside.join(', ')}: outside what this session was given`
  return { kind: 'denied', decisions, denials: decisions, outside: words }
}

function hypothesisOf({ sign_in, approvals }: Obligation): Hypothesis {
  return sign_in ? { signIn: { acr: sign_in.acr_values[0] ?? '' }, approvals } : { approvals }
}

/** The answer of several that must all permit: the first that denies. */
function strictest(decisions: readonly Decision[]): Decision {
  const denial = decisions.find(({ effect }) => effect === 'deny')
  const policies = [...new Set(decisions.flatMap((decision) => decision.policies))]
  return denial ?? { effect: 'permit', policies }
}

/** How and when the principal signed in, for policies. */
export function authenticationOf(session: Pick<Session, 'acr' | 'amr' | 'authenticatedAt'>) {
  return { acr: session.acr, amr: session.amr, at: session.authenticatedAt }
}
