import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { AuditEntry } from '../protocol/audit.ts'
import { approvalOutcome } from './audit-approval-text.ts'
import { shellWords } from './shell-words.ts'

/** What an entry doesn't say again: where its grant is, and at which targets. */
interface Place {
  readonly environment: string
  readonly targets: string
}

const COLUMNS = [
  ['TIME', 20],
  ['EVENT', 15],
  ['WHO', 8],
  ['GRANT', 28],
  ['WHERE', 12],
  ['TARGETS', 15],
  ['OUTCOME', 0],
] as const
const NOWHERE: Place = { environment: '', targets: '' }
/** After these nothing more comes of a grant. */
const LAST = ['grant.denied', 'grant.revoked']

/** The log as lines in columns, which are as wide as usual: it is printed while it is read. */
export class AuditTable {
  readonly #places = new Map<string, Place>()

  heading(): string {
    return aligned(COLUMNS.map(([name]) => name))
  }

  /** @param entry from outside: only `seq`, `at`, `event`, `principal` and `grant` are known to be there */
  line(entry: AuditEntry): string {
    const place = this.#placeOf(entry)
    const cells = [
      entry.at.replace(/\.\d+Z$/, 'Z'),
      entry.event,
      entry.principal?.name ?? '-',
      entry.grant ?? '-',
      place.environment || '-',
      targetsOf(entry) || place.targets || '-',
      outcomeOf(entry),
    ]
    return aligned(cells.map(escapeForDisplay))
  }

  #placeOf(entry: AuditEntry): Place {
    const { grant, event } = entry
    if (grant === undefined) return NOWHERE
    const before = this.#places.get(grant) ?? NOWHERE
    const asked = [textOf(entry.environment), textOf(entry.task)].filter(Boolean).join('/')
    const known = {
      environment: asked || before.environment,
      targets: Array.isArray(entry.targets) ? targetsOf(entry) : before.targets,
    }
    if (LAST.includes(event)) this.#places.delete(grant)
    else this.#places.set(grant, known)
    return known
  }
}

function aligned(cells: readonly string[]): string {
  return cells
    .map((cell, column) => cell.padEnd(COLUMNS[column]?.[1] ?? 0))
    .join('  ')
    .trimEnd()
}

function targetsOf({ receipt, target, targets }: AuditEntry): string {
  const one = textOf(fieldsOf(receipt).target) || textOf(target)
  return one || listOf(targets).map(textOf).join(', ')
}

/** What came of it, by what the events of the broker carry. */
function outcomeOf(entry: AuditEntry): string {
  const { outcome, receipt, reason, by, ended_by, expires_at, ttl } = entry
  const result = fieldsOf(receipt)
  const said = [
    deniedBy(entry),
    reachOf(entry),
    approvalOutcome(entry),
    entry.event === 'session.renewed' && entry.authenticated_at ? 'signed in again' : '',
    textOf(entry.acr),
    entry.event === 'grant.permitted' && typeof ttl === 'number' ? formatDuration(ttl) : '',
    signedOf(entry),
    whoseOf(entry),
    ceilingOf(entry),
    movedTo(entry),
    textOf(expires_at) && `until ${textOf(expires_at)}`,
    textOf(ended_by) || textOf(by),
    exitOf(fieldsOf(outcome)),
    textOf(result.outcome),
    textOf(result.detail),
    textOf(fieldsOf(reason).message) || textOf(reason),
    textOf(entry.problem),
  ]
  return said.filter((part) => part !== '').join(', ')
}

/** Whom it was about, where that isn't who did it, and who was told. */
function whoseOf({ event, subject, until, whose, hook }: AuditEntry): string {
  if (event === 'session.cut_off') return `${textOf(subject)}: sign-ins until ${textOf(until)}`
  if (textOf(hook)) return textOf(hook)
  const name = textOf(fieldsOf(whose).name)
  return name && `of ${name}`
}

/** What a pipeline runs, as its issuer says, and who set it off. */
function signedOf({ signed, triggered_by }: AuditEntry): string {
  const { repository, branch, commit } = fieldsOf(signed)
  const where = textOf(repository)
  const code = where && `${where}@${textOf(branch) || textOf(commit)}`
  const whom = textOf(triggered_by) && `set off by ${textOf(triggered_by)}`
  return [code, whom].filter((part) => part !== '').join(', ')
}

/** What a session that was handed on may ask for at most. */
function ceilingOf({ ceiling }: AuditEntry): string {
  const kinds = Object.entries(fieldsOf(ceiling))
  return kinds.map(([kind, names]) => `${kind}: ${listOf(names).map(textOf).join(' ')}`).join(', ')
}

function deniedBy({ event, decisions, outside }: AuditEntry): string {
  if (event !== 'grant.denied') return ''
  if (textOf(outside)) return textOf(outside)
  const policies = listOf(decisions).flatMap((one) => {
    const { effect, policies: named } = fieldsOf(fieldsOf(one).decision)
    return effect === 'deny' ? listOf(named).map(textOf) : []
  })
  return policies.length > 0 ? `by ${[...new Set(policies)].join(', ')}` : 'no policy permits it'
}

/** What a sandbox may reach, and what it was kept from. */
function reachOf({
  event,
  command,
  domains,
  refused,
  host,
  port,
  count,
  more,
}: AuditEntry): string {
  if (event === 'sandbox.opened') {
    const argv = listOf(fieldsOf(command).argv).map(textOf)
    const names = (list: unknown) => listOf(list).map(textOf).join(' ')
    const reaches = names(domains) && `reaches ${names(domains)}`
    const not = names(refused) && `not ${names(refused)}`
    return [shellWords(argv), reaches, not].filter((part) => part !== '').join(', ')
  }
  if (event !== 'sandbox.refused') return ''
  if (typeof more === 'number') return `${more} more`
  return `${textOf(host)}:${port}${Number(count) > 1 ? `, ${count} times` : ''}`
}

/** Where its client stands now, and whether policy permits it there. */
function movedTo({ event, claimed, permitted }: AuditEntry): string {
  if (event !== 'grant.context_changed') return ''
  const { repository, branch, commit } = fieldsOf(claimed)
  const at = textOf(branch) || textOf(commit).slice(0, 12)
  const where = [textOf(repository), at].filter(Boolean).join('@') || 'nowhere'
  return permitted === true ? where : `${where}, left to the next renewal`
}

function exitOf({ code, signal }: Record<string, unknown>): string {
  if (typeof code === 'number') return `code ${code}`
  return textOf(signal)
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
