import { setImmediate as breathe } from 'node:timers/promises'
import { hasLeeway } from '../policy/leeway.ts'
import { targetsIn } from '../policy/literals.ts'
import {
  ASKABLE_ANSWERS,
  type Askable,
  type AskableEnvironment,
  type AskableQuestion,
  type AskableTarget,
  type AskableTask,
} from '../protocol/askable.ts'
import type { GrantContext } from '../protocol/grant.ts'
import type { Decider, Evidence } from './decider.ts'
import { deliveryOf, resolveDeliveries } from './deliveries.ts'
import type { FleetMember } from './fleet.ts'
import type { BrokerParts } from './parts.ts'
import { claimedBy, type ResolvedRequest } from './requests.ts'
import type { Session } from './sessions.ts'

/** Milliseconds of deciding after which others get their turn. */
const TURN_MS = 10

export interface AskableParts extends Pick<BrokerParts, 'config' | 'fleet' | 'forge'> {
  readonly decider: Decider
}

type Said = Pick<AskableTarget, 'answer' | 'obligation'>

/** What does not change from one target to the next. */
interface Asking {
  readonly session: Session
  readonly context: GrantContext
  readonly evidence: Evidence
  /** Targets that some policy names. */
  readonly named: ReadonlySet<string>
  readonly parts: AskableParts
  readonly turn: Turn
}

/**
 * What today's policies would say to a bare request of this principal (no command, reason, ticket or
 * label, the target's default duration) for each task at each target. Decided as a request is; nothing
 * is recorded. Targets that no policy can tell apart are decided once.
 */
export async function askableBy(
  session: Session,
  question: AskableQuestion,
  parts: AskableParts,
): Promise<Askable> {
  const { config, decider, forge } = parts
  const { policies, version } = decider.current
  const { repository, branch, commit } = question
  const claimed = claimedBy(session, { repository, branch, commit, dirty: false })
  const verified = await forge?.check(claimed)
  const asking: Asking = {
    session,
    context: bareContext(session, claimed),
    evidence: {
      ...{ approvals: [], approvalsByTwo: [], approvers: [] },
      ...(verified ? { forge: verified } : {}),
    },
    named: new Set(policies.flatMap(({ json }) => targetsIn(json))),
    parts,
    turn: new Turn(),
  }
  const environments: AskableEnvironment[] = []
  for (const [name, { tier }] of Object.entries(config.environments)) {
    if (question.environment !== undefined && question.environment !== name) continue
    const tasks = await tasksIn(name, asking, question.all === true)
    if (tasks.length > 0 || question.all) environments.push({ name, tier, tasks })
  }
  return { version, environments, labels: { ...config.labels } }
}

function bareContext(session: Session, claimed: GrantContext['claimed']): GrantContext {
  return {
    ...session.signed,
    claimed,
    command: { argv: [''], directory: '', executable: '' },
    ...{ reason: '', break_glass: false, ticket: '', labels: {} },
  }
}

async function tasksIn(environment: string, asking: Asking, all: boolean): Promise<AskableTask[]> {
  const { fleet, config } = asking.parts
  const here = fleet.members().filter((member) => member.config.environment === environment)
  const tasks: AskableTask[] = []
  for (const name of config.tasks) {
    const able = here.filter(({ target }) => target.tasks.has(name))
    const answered = await targetsFor(name, able, asking)
    const targets = all ? answered : answered.filter(({ answer }) => answer !== 'denied')
    if (targets.length > 0) tasks.push({ name, answer: hardest(targets), targets })
  }
  return tasks
}

async function targetsFor(
  task: string,
  members: readonly FleetMember[],
  asking: Asking,
): Promise<AskableTarget[]> {
  const known = new Map<string, Said>()
  const targets: AskableTarget[] = []
  for (const member of members) {
    const { target, config } = member
    const request = bareRequest(task, member, asking)
    const looks = looksOf(request, member, asking)
    const said = known.get(looks) ?? decide(request, member, asking)
    known.set(looks, said)
    targets.push({ name: target.name, type: target.type, ...said, ttl: config.ttl })
    await asking.turn.pass()
  }
  return targets
}

function bareRequest(task: string, member: FleetMember, asking: Asking): ResolvedRequest {
  const { session, context, parts } = asking
  const { environment, ttl } = member.config
  const { kind } = session.principal
  return {
    ...{ environment, task, context },
    tier: parts.config.environments[environment]?.tier ?? '',
    members: [member],
    deliveries: resolveDeliveries([member], { asked: undefined, kind }),
    ttlSeconds: ttl.default,
    hash: '',
  }
}

/** All that a policy can see of a target: the same text, the same answer. */
function looksOf(
  request: ResolvedRequest,
  { target, config }: FleetMember,
  { named, session }: Asking,
): string {
  const { name } = target
  // A ceiling names targets, too.
  const apart = named.has(name) || session.ceiling?.targets !== undefined
  const delivery = deliveryOf(request, name)
  return JSON.stringify([
    config.sensitivity,
    target.type,
    delivery,
    request.ttlSeconds,
    apart && name,
  ])
}

function decide(request: ResolvedRequest, { target }: FleetMember, asking: Asking): Said {
  const { session, evidence, parts } = asking
  const { decider } = parts
  const assessment = decider.assess(session, request, evidence)
  if (assessment.kind === 'permitted') return { answer: 'permit' }
  if (assessment.kind === 'waits') {
    const { obligation } = assessment
    return { answer: obligation.approvals.length > 0 ? 'approval' : 'sign_in', obligation }
  }
  const [denial] = assessment.denials
  if (!denial || assessment.outside !== undefined) return { answer: 'denied' }
  const question = {
    ...{ principal: session.principal, task: request.task, target: target.name },
    context: { ...decider.context(session, request, evidence), delivery: denial.delivery },
  }
  const open = hasLeeway(question, denial.decision, decider.current)
  return { answer: open ? 'depends' : 'denied' }
}

function hardest(targets: readonly AskableTarget[]): AskableTarget['answer'] {
  const ranks = targets.map(({ answer }) => ASKABLE_ANSWERS.indexOf(answer))
  return ASKABLE_ANSWERS[Math.max(...ranks)] ?? 'denied'
}

/** Lets others have their turn now and then: deciding doesn't wait for anything by itself. */
class Turn {
  #since = performance.now()

  async pass(): Promise<void> {
    if (performance.now() - this.#since < TURN_MS) return
    await breathe()
    this.#since = performance.now()
  }
}
