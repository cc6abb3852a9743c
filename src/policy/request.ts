import type {
  CedarValueJson,
  EntityJson,
  StatefulAuthorizationCall,
  TypeAndId,
} from '@cedar-policy/cedar-wasm/nodejs'
import type { Principal } from '../protocol/principal.ts'
import type { ClaimedContext, Command } from '../protocol/request.ts'
import type { BuiltInAction, Delivery, LabelType, Vocabulary } from './vocabulary.ts'

/** How and when the principal signed in. */
interface Authentication {
  /** `acr` of the identity token, `""` where it has none. */
  readonly acr: string
  readonly amr: readonly string[]
  /** `auth_time`, in milliseconds since the epoch; unknown counts as long ago. */
  readonly at: number | undefined
}

/** What a request for a task is decided on, beside who, what and where. */
export interface RequestContext {
  /** What an issuer signed, `""` where none did. */
  readonly signed: {
    readonly repository: string
    readonly branch: string
    readonly commit: string
  }
  readonly claimed: ClaimedContext
  readonly command: Command
  readonly reason: string
  readonly ticket: string
  readonly labels: Readonly<Record<string, string | boolean | number>>
  /** Seconds. */
  readonly ttl: number
  readonly delivery: Delivery
  readonly authentication: Authentication
  /** Groups of which a member approved; of which two different members did; those people's ids. */
  readonly approvals?: readonly string[]
  readonly approvalsByTwo?: readonly string[]
  readonly approvers?: readonly string[]
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** May this principal do this task at this target? One target at a time. */
export interface TaskQuestion {
  readonly principal: Principal
  readonly task: string
  readonly target: string
  readonly context: RequestContext
}

/** The grant that is to be seen or revoked. */
interface GrantResource {
  readonly id: string
  readonly principal: { readonly kind: Principal['kind']; readonly id: string }
  readonly environment: string
  readonly task: string
  readonly tier: string
}

/** May this principal see or revoke this grant, or read the audit log? */
export type BuiltInQuestion = {
  readonly principal: Principal
  readonly context: Pick<RequestContext, 'authentication' | 'now'>
} & (
  | { readonly action: Exclude<BuiltInAction, 'audit'>; readonly grant: GrantResource }
  | { readonly action: 'audit' }
)

export type CedarCall = Omit<StatefulAuthorizationCall, 'preparsedPolicySetId'>

/** A question that can't be put to the policies: always answered no. */
export class UnaskableError extends Error {}

const entity = (type: string, id: string): { __entity: TypeAndId } => ({ __entity: { type, id } })
const groups = (names: readonly string[] = []) => names.map((name) => entity('Group', name))

/** @throws UnaskableError */
export function taskCall(question: TaskQuestion, vocabulary: Vocabulary): CedarCall {
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

/** @throws UnaskableError */
export function builtInCall(question: BuiltInQuestion, vocabulary: Vocabulary): CedarCall {
  const who = principalEntities(question.principal, vocabulary)
  const on = question.action === 'audit' ? brokerEntity() : grantEntities(question.grant)
  return {
    principal: who.uid,
    action: { type: 'Action', id: question.action },
    resource: on.uid,
    context: {
      time: timeOf(question.context.now),
      authentication: authenticationOf(question.context),
    },
    entities: [...who.entities, ...on.entities],
  }
}

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
  const attrs = { principal: principal.id, kind: principal.kind, task, tier }
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
    },
    command: {
      program: command.argv[0]?.split('/').at(-1) ?? '',
      executable: command.executable,
      directory: command.directory,
      arguments: command.argv.slice(1),
    },
    reason: context.reason,
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
