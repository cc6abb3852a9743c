import { toTimestamp } from '../lib/clock.ts'
import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { GrantContext } from '../protocol/grant.ts'
import type { Obligation } from '../protocol/obligation.ts'
import type { Principal } from '../protocol/principal.ts'
import type { Notification } from './outbox.ts'
import type { GrantRow } from './store/schema.ts'

/** Characters of one value: a message that is too long would be refused as a whole. */
const LONGEST = { line: 300, command: 1000 }

/**
 * What a webhook is sent: `text` alone, which Slack, Mattermost and others take as it is. Whatever
 * a person or a repository put in stands in a code span, where no markup is read.
 */
export function notificationBody({ kind, grant }: Notification): { text: string } {
  const context = JSON.parse(grant.context) as GrantContext
  const heading =
    kind === 'pending'
      ? `*A request waits for ${approversText(grant)}*`
      : '*Break-glass was used*: somebody has to look at it'
  const lines = [
    heading,
    `Who: ${whoText(JSON.parse(grant.principal) as Principal)}`,
    `What: ${code(grant.task)} in ${code(grant.environment)} (${code(grant.tier)}) for ${formatDuration(grant.ttl_seconds)}`,
    `Targets: ${(JSON.parse(grant.targets) as string[]).map((name) => code(name)).join(', ')}`,
    ...whereLines(context),
    `Reason: ${context.reason === '' ? 'none given' : code(context.reason)}`,
    ...(context.ticket === '' ? [] : [`Ticket: ${code(context.ticket)}`]),
    `Command: ${code(context.command.argv.join(' '), LONGEST.command)}`,
    kind === 'pending'
      ? `Look at it, then decide: ${code(`jit approve ${grant.id}`)} (until ${lapseText(grant)})`
      : `Then say so: ${code(`jit acknowledge ${grant.id}`)}`,
  ]
  return { text: lines.join('\n') }
}

function approversText({ obligation }: GrantRow): string {
  const { approvals } = JSON.parse(obligation ?? '{"approvals":[]}') as Obligation
  const wanted = approvals.map(({ group, people }) =>
    people === 2 ? `two of ${code(group)}` : code(group),
  )
  return wanted.join(' and ') || 'a sign-in'
}

function whoText({ kind, name, id, owner }: Principal): string {
  const who = `${code(name)} (${code(id)})`
  if (kind === 'agent') return `the copilot ${code(name)}, of ${code(owner ?? '')}`
  return kind === 'pipeline' ? `the pipeline ${who}` : who
}

/** An issuer signed the first; the others are the client's word. */
function whereLines({ repository, branch, commit, claimed }: GrantContext): string[] {
  if (repository !== '') return [`From: ${placeText({ repository, branch, commit })}`]
  if (claimed.repository === '') return []
  const dirty = claimed.dirty ? ', with changes that are not committed' : ''
  return [`From, as they say: ${placeText(claimed)}${dirty}`]
}

function placeText(place: { repository: string; branch: string; commit: string }): string {
  const parts = [place.repository, place.branch, place.commit.slice(0, 12)]
  return parts
    .filter((part) => part !== '')
    .map((part) => code(part))
    .join(' ')
}

const lapseText = ({ lapses_at, requested_at }: GrantRow) => toTimestamp(lapses_at ?? requested_at)

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

/**
 * A code span: Slack reads no markup in it save `<…>`, which its escapes switch off, and nothing
 * here ends it early (Slack, Formatting text: "Escaping text").
 */
function code(text: string, longest = LONGEST.line): string {
  const shown = escapeForDisplay(text.length > longest ? `${text.slice(0, longest)}…` : text)
  const inert = shown.replaceAll('`', "'").replace(/[&<>]/g, (c) => ENTITIES[c] ?? c)
  return inert === '' ? '-' : `\`${inert}\``
}
