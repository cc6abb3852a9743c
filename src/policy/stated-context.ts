import { formatDuration } from '../lib/duration.ts'
import type { Principal } from '../protocol/principal.ts'
import type { SharedContext } from './question.ts'
import type { StatedContext } from './stated-schema.ts'
import { declared, own, type Stating } from './stating.ts'
import type { LabelType } from './vocabulary.ts'

/** A Monday morning: what a request is decided at that names no time. */
const USUAL_TIME = Date.UTC(2026, 0, 5, 10, 0, 0)
const USUAL_AGE_SECONDS = 600
const USUAL_TTL_SECONDS = 900

/** The context of a request, with what is usual where it says nothing. */
export function contextOf(
  stated: StatedContext,
  { principal, targets }: { principal: Principal; targets: readonly string[] },
  stating: Stating,
): SharedContext {
  checkProvenance(stated, principal, stating)
  const context = { ...stating.context, ...stated }
  const isPipeline = principal.kind === 'pipeline'
  const now = context.time ?? USUAL_TIME
  const { acr = '', amr = [], age = USUAL_AGE_SECONDS } = context.authentication ?? {}
  const { repository = '', branch = '', commit = '' } = isPipeline ? context : {}
  const {
    commit_on_branch = false,
    branch_protected = false,
    ...claimed
  } = (isPipeline ? undefined : context.claimed) ?? NOTHING_CLAIMED
  return {
    signed: { repository, branch, commit },
    claimed,
    forge: { commitOnBranch: commit_on_branch, branchProtected: branch_protected },
    command: commandOf(context.command),
    reason: context.reason ?? '',
    breakGlass: context.break_glass ?? false,
    ticket: context.ticket ?? '',
    labels: labelsOf(context, stating),
    ttl: ttlOf(context, targets, stating),
    authentication: { acr, amr, at: age === 'unknown' ? undefined : now - age * 1000 },
    ...approvalsOf(context, stating),
    now,
  }
}

const NOTHING_CLAIMED = {
  repository: '',
  branch: '',
  commit: '',
  dirty: false,
  commit_on_branch: false,
  branch_protected: false,
}

/** What an issuer signs and what a client says is never the same: a case that mixes them up proves nothing. */
function checkProvenance(stated: StatedContext, { kind }: Principal, { refuse }: Stating): void {
  if (kind === 'pipeline') {
    if (!stated.claimed) return
    const message = "expected what its issuer signed, in context: a pipeline's claims are ignored"
    refuse({ path: ['context', 'claimed'], message })
  }
  for (const key of ['repository', 'branch', 'commit'] as const) {
    if (stated[key] === undefined) continue
    const message = 'expected it under claimed: only what a pipeline comes with is signed'
    refuse({ path: ['context', key], message })
  }
}

function commandOf(stated: StatedContext['command']): SharedContext['command'] {
  const { argv, executable, directory } =
    typeof stated === 'object' && !Array.isArray(stated)
      ? stated
      : { argv: Array.isArray(stated) ? stated : (stated ?? 'true').split(' '), directory: '/' }
  const program = argv[0]?.split('/').at(-1) ?? ''
  return { argv, directory, executable: executable ?? `/usr/bin/${program}` }
}

const TYPES: Record<LabelType, string> = { string: 'string', bool: 'boolean', long: 'number' }

function labelsOf({ labels = {} }: StatedContext, stating: Stating): SharedContext['labels'] {
  const names = Object.keys(stating.inventory.labels)
  for (const [name, value] of Object.entries(labels)) {
    const path = ['context', 'labels', name]
    declared(name, { what: 'label', path, names }, stating)
    const type = stating.inventory.labels[name] ?? 'string'
    const fits = type === 'long' ? Number.isSafeInteger(value) : typeof value === TYPES[type]
    if (!fits) stating.refuse({ path, message: `expected a ${type}` })
  }
  return labels
}

function ttlOf({ ttl }: StatedContext, targets: readonly string[], stating: Stating): number {
  const times = targets.flatMap((name) => {
    const ability = own(stating.inventory.abilities, name)
    return ability ? [{ name, ...ability.ttl }] : []
  })
  if (ttl === undefined)
    return Math.min(
      ...times.map((time) => time.default),
      ...(times.length > 0 ? [] : [USUAL_TTL_SECONDS]),
    )
  const short = times.find(({ max }) => ttl > max)
  if (short) {
    const message = `expected at most ${formatDuration(short.max)}: '${short.name}' allows no more`
    stating.refuse({ path: ['context', 'ttl'], message })
  }
  return ttl
}

/** So many nobodies, or people by name. */
function approvalsOf({ approvals = {} }: StatedContext, stating: Stating) {
  const groups = Object.entries(approvals)
  const people = groups.map(([group, given]) => {
    const path = ['context', 'approvals', group]
    declared(group, { what: 'group', path, names: stating.inventory.approvers }, stating)
    if (typeof given === 'number') {
      return Array.from({ length: given }, (_, index) => `${group}-${index + 1}`)
    }
    return [...new Set(given.map((name) => own(stating.principals, name)?.id ?? name))]
  })
  const names = groups.map(([group]) => group)
  return {
    approvals: names,
    approvalsByTwo: names.filter((_, index) => (people[index]?.length ?? 0) > 1),
    approvers: [...new Set(people.flat())],
  }
}
