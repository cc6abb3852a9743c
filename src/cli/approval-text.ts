import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Approval, ApprovalRequest, ApprovalSubject } from '../protocol/approval.ts'
import type { GrantContext } from '../protocol/grant.ts'
import { obligationText } from './obligation-text.ts'
import { formatTime } from './receipt-text.ts'
import { shellWords } from './shell-words.ts'
import { formatTable } from './table.ts'

/** Where what is said about a request starts: nothing it holds reaches the columns before. */
const COLUMN = 12
/** No narrower, however small the terminal. */
const LEAST_ROOM = 20

/** What a screen looks like and what time it is there. */
export interface Screen {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** `Infinity` where nothing is wrapped. */
  readonly columns: number
}

/**
 * A request as an approver sees it: everything that the approval is bound to, and why it is wanted.
 * Whatever is in it, each line starts with a word of `jit`'s own or with blanks; control and invisible
 * characters are written out.
 */
export function approvalLines(request: ApprovalRequest, screen: Screen): string[] {
  const { subject } = request
  const facts: [string, string][] = [
    ['request', subject.grant],
    ...whoFacts(subject),
    ['wants', `${subject.task} in ${subject.environment} (${subject.tier})`],
    ...subject.targets.map((target): [string, string] => ['at', targetText(target, subject)]),
    ['for', `${formatDuration(subject.ttl)} at a time, renewed while it runs as policy allows`],
    ...placeFacts(request),
    ['command', shellWords(subject.context.command.argv)],
    ['program', subject.context.command.executable],
    ['folder', subject.context.command.directory],
    ...reasonFacts(subject.context),
    ['asked', formatTime(subject.requested_at, screen.now)],
    ...decisionFacts(request, screen.now),
  ]
  return facts
    .filter(([, value]) => value !== '')
    .flatMap(([name, value]) => factLines(name, escapeForDisplay(value), screen.columns))
}

function whoFacts({ principal }: ApprovalSubject): [string, string][] {
  const { name, kind, id, owner, triggered_by } = principal
  return [
    ['who', `${name} (${kind}, ${id})`],
    ['on behalf of', owner ?? ''],
    ['set off by', triggered_by ?? ''],
  ]
}

function targetText(
  { name, type, sensitivity, rights, delivery }: ApprovalSubject['targets'][number],
  { principal }: ApprovalSubject,
): string {
  // That people get credentials in their environment is what anybody expects.
  const held = principal.kind === 'agent' ? ', in its environment' : ''
  const by = delivery === 'proxy' ? ', by a proxy' : held
  const as = rights.length > 0 ? `, as ${rights.join(', ')}` : ''
  return `${name}: ${type}, ${sensitivity} data${as}${by}`
}

/** Where it stands, and by whose word. */
function placeFacts({ subject, forge }: ApprovalRequest): [string, string][] {
  const { context } = subject
  const { claimed } = context
  const signed = placeText(context)
  const said = placeText(claimed)
  return [
    ['repository', signed && `${signed}, signed by the issuer`],
    ['repository', said && `${said}, as the client says`],
    ['', forge ? forgeText(forge) : ''],
    ['', claimed.dirty ? 'with changes that are not committed' : ''],
  ]
}

/** A check makes no fact of a claim: it says that there is such a commit, not that this is it. */
function forgeText(forge: NonNullable<ApprovalRequest['forge']>): string {
  if (!forge.commit_on_branch) return 'the forge does not confirm this commit on this branch'
  const branch = forge.branch_protected ? ', which is protected' : ', which is not protected'
  return `checked with the forge: this commit is on this branch${branch}`
}

function placeText(place: { repository: string; branch: string; commit: string }): string {
  const { repository, branch, commit } = place
  if (!repository && !branch && !commit) return ''
  return `${repository || '(no remote)'}${branch && `@${branch}`}${commit && ` (${commit})`}`
}

function reasonFacts({ reason, ticket, labels, break_glass }: GrantContext): [string, string][] {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`)
  return [
    ['reason', reason || '(none)'],
    ['ticket', ticket],
    ['labels', pairs.join(', ')],
    ['emergency', break_glass ? 'the glass is broken: --break-glass' : ''],
  ]
}

function decisionFacts(request: ApprovalRequest, now: number): [string, string][] {
  const { policies, approvals, obligation, lapses_at, state } = request
  const left = formatDuration((Date.parse(lapses_at) - now) / 1000)
  const lapses = state === 'pending' ? `${formatTime(lapses_at, now)}, in ${left}` : ''
  return [
    ...policies.map(({ id, description }): [string, string] => [
      'demanded by',
      description ? `${id}: ${description}` : id,
    ]),
    ['approved by', approvals.map((approval) => approvalText(approval, now)).join('; ')],
    ['waits for', state === 'pending' ? obligationText(obligation) : ''],
    ['lapses', lapses],
  ]
}

function approvalText({ approver, groups, method, at }: Approval, now: number): string {
  const signedIn = method === 'reauth' ? ', signed in anew' : ''
  return `${approver.name} for ${groups.join(', ') || 'no group'} at ${formatTime(at, now)}${signedIn}`
}

/** @param value already safe to show */
function factLines(name: string, value: string, columns: number): string[] {
  const [first = '', ...more] = wrapped(value, Math.max(LEAST_ROOM, columns - COLUMN - 1))
  return [`${name.padEnd(COLUMN)} ${first}`, ...more.map((line) => ' '.repeat(COLUMN + 1) + line)]
}

/**
 * Cut before the terminal would, after a blank if there is one: were it to wrap a long value itself, the
 * rest could be made to look like a line of `jit`'s own. A character that isn't ASCII may take two columns.
 */
function wrapped(text: string, room: number): string[] {
  if (room === Infinity) return [text]
  const lines: string[] = []
  let line = ''
  for (const character of text) {
    if (columnsOf(line) + columnsOf(character) > room) {
      const end = line.lastIndexOf(' ') + 1 || line.length
      lines.push(line.slice(0, end))
      line = line.slice(end)
    }
    line += character
  }
  return [...lines, line]
}

function columnsOf(text: string): number {
  return [...text].reduce((columns, character) => columns + (character > '~' ? 2 : 1), 0)
}

const HEADING = ['REQUEST', 'WHO', 'ENV', 'TASK', 'TARGETS', 'WAITS FOR', 'LAPSES IN']

/** Requests that wait, a line each. */
export function approvalTable(requests: readonly ApprovalRequest[], screen: Screen): string[] {
  const rows = requests.map(({ subject, obligation, lapses_at }) => [
    subject.grant,
    subject.principal.name,
    subject.environment,
    subject.task,
    subject.targets.map(({ name }) => name).join(', '),
    obligationText(obligation),
    formatDuration((Date.parse(lapses_at) - screen.now) / 1000),
  ])
  const cells = rows.map((row) => row.map(escapeForDisplay))
  return formatTable([HEADING, ...cells], { columns: screen.columns, flexible: [4, 1, 2, 3, 5] })
}

/** One request in one line, to choose it by. */
export function approvalChoice({ subject }: ApprovalRequest): string {
  const { principal, task, environment, context, grant } = subject
  const command = shellWords(context.command.argv)
  const short = command.length > 40 ? `${command.slice(0, 39)}…` : command
  return escapeForDisplay(`${principal.name}: ${task} in ${environment}, ${short} (${grant})`)
}
