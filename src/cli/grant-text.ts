import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Grant, Lease } from '../protocol/grant.ts'
import { obligationText } from './obligation-text.ts'
import { shellWords } from './shell-words.ts'
import { formatTable } from './table.ts'

const HEADING = ['GRANT', 'STATE', 'WHO', 'ENV', 'TASK', 'TARGETS', 'LEFT']

/** Who and what may be cut, never an id that somebody may want to copy. */
const FLEXIBLE = [2, 3, 4, 5]

/**
 * @param now milliseconds since the epoch
 * @param columns of the terminal
 */
export function grantTable(
  grants: readonly Grant[],
  { now, columns }: { now: number; columns: number },
): string[] {
  const rows = grants.map((grant) => [
    grant.id,
    grant.state,
    grant.principal.name,
    grant.environment,
    grant.task,
    targetsOf(grant).join(', '),
    timeLeft(grant, now),
  ])
  const cells = rows.map((row) => row.map(escapeForDisplay))
  return formatTable([HEADING, ...cells], { columns, flexible: FLEXIBLE })
}

/** Those of its leases; before there are any, those that were asked for. */
function targetsOf({ leases, targets = [] }: Grant): readonly string[] {
  return leases.length > 0 ? leases.map(({ target }) => target) : targets
}

const WAITING: readonly Grant['state'][] = ['pending', 'approved']

/** How long it lasts yet, or waits before it lapses; `-` where it does neither. */
function timeLeft({ state, expires_at, lapses_at }: Grant, now: number): string {
  const end = state === 'active' ? expires_at : WAITING.includes(state) ? lapses_at : undefined
  return end === undefined ? '-' : formatDuration((Date.parse(end) - now) / 1000)
}

/** One grant with all that is known of it. */
export function grantLines(grant: Grant, now: number): string[] {
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
    ['requested', grant.requested_at],
    ['waits for', grant.state === 'pending' && obligation ? obligationText(obligation) : ''],
    ['lapses', WAITING.includes(grant.state) ? (grant.lapses_at ?? '') : ''],
    [grant.state === 'active' ? 'ends' : 'deadline', grant.expires_at ?? ''],
    ['left', timeLeft(grant, now)],
  ]
  const known = facts.filter(([, value]) => value !== '' && value !== '-')
  return [
    ...formatTable(known.map(([name, value]) => [name, escapeForDisplay(value)])),
    ...leaseLines(grant.leases),
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

function leaseLines(leases: readonly Lease[]): string[] {
  if (leases.length === 0) return []
  const rows = leases.map(({ target, type, delivery, handle, state, revocability, problem }) =>
    [target, type, delivery, state, revocability, handle, problem ?? ''].map(escapeForDisplay),
  )
  const heading = ['TARGET', 'TYPE', 'DELIVERY', 'STATE', 'REVOKES', 'HANDLE', '']
  return ['', ...formatTable([heading, ...rows])]
}
