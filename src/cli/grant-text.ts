import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Grant, Lease } from '../protocol/grant.ts'
import type { Principal } from '../protocol/principal.ts'
import { obligationText } from './obligation-text.ts'
import { shellWords } from './shell-words.ts'
import { type Cell, formatTable } from './table.ts'
import type { View } from './view.ts'

/** Less than this is a warning. Milliseconds. */
const SOON = 120_000

/** A column of a list of grants: its heading, and what of a grant stands in it. */
interface Column {
  readonly heading: string
  readonly cell: (grant: Grant, view: View) => Cell
}

const COLUMNS = {
  grant: { heading: 'GRANT', cell: ({ id }) => id },
  state: { heading: 'STATE', cell: stateCell },
  who: { heading: 'WHO', cell: ({ principal }) => principal.name },
  environment: { heading: 'ENV', cell: ({ environment }) => environment },
  task: { heading: 'TASK', cell: ({ task }) => task },
  targets: { heading: 'TARGETS', cell: (grant) => targetsOf(grant).join(', ') },
  left: { heading: 'LEFT', cell: leftCell },
} satisfies Record<string, Column>

/** What gives way on a narrow terminal, first to last: never an id that somebody may want to copy. */
const GIVES_WAY: readonly Column[] = [
  COLUMNS.targets,
  COLUMNS.who,
  COLUMNS.environment,
  COLUMNS.task,
]

/** What a list of grants says beside the usual, and what it leaves out. */
export interface GrantListing {
  /** Where each lives. */
  readonly where?: (grant: Grant) => string
  /** Whose grants they are, where that goes without saying. */
  readonly whose?: Pick<Principal, 'id'>
}

/** A line a grant, under a heading. */
export function grantTable(
  grants: readonly Grant[],
  view: View,
  { where, whose }: GrantListing = {},
): string[] {
  const { grant, state, who, left, ...rest } = COLUMNS
  const allOfOne = whose && grants.every(({ principal }) => principal.id === whose.id)
  const columns: readonly Column[] = [
    grant,
    state,
    ...(allOfOne ? [] : [who]),
    ...Object.values(rest),
    ...(where ? [{ heading: 'WHERE', cell: where }] : []),
    left,
  ]
  const rows = grants.map((one) => columns.map(({ cell }) => safe(cell(one, view))))
  const flexible = GIVES_WAY.map((column) => columns.indexOf(column)).filter((at) => at >= 0)
  return formatTable([columns.map(({ heading }) => heading), ...rows], {
    columns: view.columns,
    flexible,
  })
}

function safe(cell: Cell): Cell {
  return typeof cell === 'string'
    ? escapeForDisplay(cell)
    : { ...cell, text: escapeForDisplay(cell.text) }
}

/** Those of its leases; before there are any, those that were asked for. */
function targetsOf({ leases, targets = [] }: Grant): readonly string[] {
  return leases.length > 0 ? leases.map(({ target }) => target) : targets
}

/** Green: works. Yellow: somebody has to do something. Red, with `!`: a target doesn't confirm. */
function stateCell({ state, leases }: Grant, { style }: View): Cell {
  const stuck = leases.some(({ problem }) => problem !== undefined)
  if (stuck) return { text: `${state} !`, paint: style.red }
  if (state === 'active') return { text: state, paint: style.green }
  return WAITING.includes(state) ? { text: state, paint: style.yellow } : state
}

/** With `!` where it is a warning. */
function leftCell(grant: Grant, { now, style }: View): Cell {
  const text = timeLeft(grant, now)
  const end = endOf(grant)
  const soon = end !== undefined && Date.parse(end) - now < SOON
  return soon ? { text: `${text} !`, paint: style.yellow } : text
}

const WAITING: readonly Grant['state'][] = ['pending', 'approved']

/** When it ends, or lapses where it waits; nothing where it does neither. */
function endOf({ state, expires_at, lapses_at }: Grant): string | undefined {
  return state === 'active' ? expires_at : WAITING.includes(state) ? lapses_at : undefined
}

/** How long it lasts yet, or waits before it lapses; `-` where it does neither. */
function timeLeft(grant: Grant, now: number): string {
  const end = endOf(grant)
  return end === undefined ? '-' : formatDuration((Date.parse(end) - now) / 1000)
}

/** One grant with all that is known of it, times as they are and how far away they are. */
export function grantLines(
  grant: Grant,
  { now, columns }: Pick<View, 'now' | 'columns'>,
): string[] {
  const { context, principal, obligation } = grant
  const facts: [string, string][] = [
    ['grant', grant.id],
    ['state', grant.ended_by ? `${grant.state} (${grant.ended_by})` : grant.state],
    ['who', `${principal.name} (${principal.kind}, ${principal.id})`],
    ['on behalf of', principal.owner ?? ''],
    ['set off by', principal.triggered_by ?? ''],
    ['for', `${grant.task} in ${grant.environment} (${grant.tier})`],
    ['at', grant.leases.length > 0 ? '' : targetsOf(grant).join(', ')],
    ['command', shellWords(context.command.argv)],
    ['program', context.command.executable],
    ['folder', context.command.directory],
    ['repository', placeOf(context)],
    [
      'claimed',
      `${placeOf(context.claimed)}${context.claimed.dirty ? ' with changes' : ''}`.trim(),
    ],
    ['reason', context.reason],
    ['ticket', context.ticket],
    ['labels', labelsOf(context.labels)],
    ['emergency', context.break_glass ? 'the glass was broken' : ''],
    ['requested', `${grant.requested_at}, ${agoText(grant.requested_at, now)}`],
    ['waits for', grant.state === 'pending' && obligation ? obligationText(obligation) : ''],
    ['lapses', WAITING.includes(grant.state) ? (grant.lapses_at ?? '') : ''],
    [grant.state === 'active' ? 'ends' : 'deadline', grant.expires_at ?? ''],
    ['left', timeLeft(grant, now)],
  ]
  const known = facts.filter(([, value]) => value !== '' && value !== '-')
  return [
    ...formatTable(known.map(([name, value]) => [name, escapeForDisplay(value)])),
    ...leaseLines(grant.leases, columns),
  ]
}

function labelsOf(labels: Grant['context']['labels']): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ')
}

function placeOf(place: { repository: string; branch: string; commit: string }): string {
  const { repository, branch, commit } = place
  if (!repository && !commit) return ''
  return `${repository}${branch && `@${branch}`}${commit && ` (${commit.slice(0, 12)})`}`
}

function agoText(at: string, now: number): string {
  return `${formatDuration((now - Date.parse(at)) / 1000)} ago`
}

function leaseLines(leases: readonly Lease[], columns: number): string[] {
  if (leases.length === 0) return []
  const rows = leases.map(({ target, type, delivery, handle, state, revocability, problem }) =>
    [target, type, delivery, state, revocability, handle, problem ?? ''].map(escapeForDisplay),
  )
  const stuck = leases.some(({ problem }) => problem !== undefined)
  const heading = [
    'TARGET',
    'TYPE',
    'DELIVERY',
    'STATE',
    'REVOKES',
    'HANDLE',
    stuck ? 'PROBLEM' : '',
  ]
  return ['', ...formatTable([heading, ...rows], { columns, flexible: [6, 1, 2] })]
}
