import type { CedarValueJson, EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs'
import type { Principal } from '../protocol/principal.ts'
import type { Command } from '../protocol/request.ts'
import { domainEntities } from './domain.ts'
import type { PreparedCall } from './prepared.ts'
import type { BuiltInQuestion, GrantResource, RequestContext, TaskQuestion } from './question.ts'
import type { LabelType, Vocabulary } from './vocabulary.ts'

/** A question that can't be put to the policies: always answered no. */
export class UnaskableError extends Error {}

const entity = (type: string, id: string): { __entity: TypeAndId } => ({ __entity: { type, id } })
const groups = (names: readonly string[] = []) => names.map((name) => entity('Group', name))

/** A question on a task as Cedar takes it. @throws UnaskableError */
export function taskCall(question: TaskQuestion, vocabulary: Vocabulary): PreparedCall {
  const target = own(vocabulary.targets, question.target, 'target')
  const { tier } = own(vocabulary.environments, target.environment, 'environment')
  if (!vocabulary.tasks.includes(question.task)) throw new UnaskableError('unknown task')
  const who = principalEntities(question.principal, vocabulary)
  const environment = { type: 'Environment', id: target.environment }
  const resource = { type: 'Target', id: question.target }
  return {
    principal: who.uid,
    action: { type: 'Action', id: question.task },
    resource,
    context: taskContext(question.context, vocabulary),
    entities: [
      ...who.entities,
      { uid: environment, attrs: { tier }, parents: [] },
      {
        uid: resource,
        attrs: { tier, sensitivity: target.sensitivity, type: target.type },
        parents: [environment],
      },
    ],
  }
}

/** A question on the broker itself as Cedar takes it. @throws UnaskableError */
export function builtInCall(question: BuiltInQuestion, vocabulary: Vocabulary): PreparedCall {
  const who = principalEntities(question.principal, vocabulary)
  const on = resourceOf(question, vocabulary)
  const known = new Set(who.entities.map(nameOf))
  return {
    principal: who.uid,
    action: { type: 'Action', id: question.action },
    resource: on.uid,
    context: {
      time: timeOf(question.context.now),
      authentication: authenticationOf(question.context),
      ...ownContext(question),
    },
    // Who asks is known from their own session: what was recorded of them elsewhere may be older.
    entities: [...who.entities, ...on.entities.filter((one) => !known.has(nameOf(one)))],
  }
}

function ownContext(question: BuiltInQuestion) {
  if (question.action === 'approve') return { method: question.method }
  if (question.action !== 'reach') return {}
  return { profile: question.profile, program: question.program }
}

function resourceOf(question: BuiltInQuestion, vocabulary: Vocabulary): Entities {
  if (question.action === 'audit') return brokerEntity()
  if (question.action === 'reach') {
    if (question.principal.kind !== 'agent') throw new UnaskableError('not a copilot')
    return domainEntities(question.domain)
  }
  if (question.action === 'offboard') return principalEntities(question.whom, vocabulary)
  return grantEntities(question.grant)
}

const nameOf = ({ uid }: EntityJson) => JSON.stringify(uid)

type Entities = { uid: TypeAndId; entities: EntityJson[] }

/** Groups that no policy may name are left out: providers send hundreds. */
function principalEntities(principal: Principal, vocabulary: Vocabulary): Entities {
  const { kind, id, owner } = principal
  if (id === '') throw new UnaskableError('a principal without an id')
  const parents = principal.groups
    .filter((group) => vocabulary.groups.includes(group))
    .map((group) => ({ type: 'Group', id: group }))
  if (kind === 'human' || kind === 'pipeline') {
    const uid = { type: kind === 'human' ? 'Human' : 'Pipeline', id }
    return { uid, entities: [{ uid, attrs: {}, parents }] }
  }
  if (kind !== 'agent' || !owner) throw new UnaskableError('a principal of no known kind')
  const uid = { type: 'Agent', id }
  const human = { type: 'Human', id: owner }
  return {
    uid,
    entities: [
      { uid, attrs: { owner: { __entity: human } }, parents: [] },
      { uid: human, attrs: {}, parents },
    ],
  }
}

function grantEntities(grant: GrantResource): Entities {
  const uid = { type: 'Grant', id: grant.id }
  const environment = { type: 'Environment', id: grant.environment }
  const { principal, task, tier } = grant
  const { id, kind, owner = '' } = principal
  const attrs = { principal: id, kind, owner, task, tier }
  return {
    uid,
    entities: [
      { uid, attrs, parents: [environment] },
      { uid: environment, attrs: { tier }, parents: [] },
    ],
  }
}

function brokerEntity(): Entities {
  const uid = { type: 'Broker', id: 'broker' }
  return { uid, entities: [{ uid, attrs: {}, parents: [] }] }
}

function taskContext(context: RequestContext, vocabulary: Vocabulary) {
  const { claimed, command, signed } = context
  return {
    repository: signed.repository,
    branch: signed.branch,
    commit: signed.commit,
    claimed: {
      repository: claimed.repository,
      branch: claimed.branch,
      commit: claimed.commit,
      dirty: claimed.dirty,
      commitOnBranch: context.forge?.commitOnBranch ?? false,
      branchProtected: context.forge?.branchProtected ?? false,
    },
    command: {
      program: programOf(command),
      executable: command.executable,
      directory: command.directory,
      arguments: command.argv.slice(1),
    },
    reason: context.reason,
    breakGlass: context.breakGlass,
    ticket: context.ticket,
    labels: labelsOf(context.labels, vocabulary),
    ttl: whole(context.ttl, 'ttl'),
    time: timeOf(context.now),
    authentication: authenticationOf(context),
    approvals: groups(context.approvals),
    approvalsByTwo: groups(context.approvalsByTwo),
    approvers: (context.approvers ?? []).map((id) => entity('Human', id)),
    delivery: context.delivery,
  }
}

/** The last part of what is run. */
export const programOf = ({ argv }: Pick<Command, 'argv'>) => argv[0]?.split('/').at(-1) ?? ''

const TYPEOF: Record<LabelType, string> = { string: 'string', bool: 'boolean', long: 'number' }

function labelsOf(labels: RequestContext['labels'], vocabulary: Vocabulary) {
  const checked: Record<string, CedarValueJson> = {}
  for (const [name, value] of Object.entries(labels)) {
    const type = own(vocabulary.labels, name, 'label')
    if (typeof value !== TYPEOF[type]) throw new UnaskableError(`label ${name}: not a ${type}`)
    checked[name] = typeof value === 'number' ? whole(value, `label ${name}`) : value
  }
  return checked
}

function timeOf(now: number) {
  const date = new Date(now)
  return {
    unix: whole(Math.floor(now / 1000), 'time'),
    hour: date.getUTCHours(),
    weekday: date.getUTCDay() || 7,
  }
}

function authenticationOf({ authentication, now }: Pick<RequestContext, 'authentication' | 'now'>) {
  const { acr, amr, at } = authentication
  const age = at === undefined ? Number.MAX_SAFE_INTEGER : Math.floor((now - at) / 1000)
  return { acr, amr: [...amr], age: whole(Math.max(0, age), 'authentication age') }
}

/** Cedar's integers have 64 bits, JavaScript's are exact to 53: anything else is refused. */
function whole(value: number, what: string): number {
  if (!Number.isSafeInteger(value)) throw new UnaskableError(`${what}: not a whole number`)
  return value
}

/** What is declared under a name; `constructor` and its like are not. */
function own<T>(declared: Readonly<Record<string, T>>, name: string, what: string): T {
  const value = Object.hasOwn(declared, name) ? declared[name] : undefined
  if (value === undefined) throw new UnaskableError(`unknown ${what}`)
  return value
}
