import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { AuthorizationDetails } from '../protocol/request.ts'
import type { RequestExplanation } from '../protocol/request-explanation.ts'
import { explanationLines } from './explanation-text.ts'
import { shellWords } from './shell-words.ts'

/** What a command would see: names of variables, never a value. */
export interface Child {
  readonly set: readonly string[]
  /** Of those that are there now. */
  readonly removed: readonly string[]
  /** Which of its streams would be masked. */
  readonly masked: readonly string[]
}

interface Tried {
  readonly foretold: RequestExplanation
  readonly details: AuthorizationDetails
  readonly child: Child
}

/** The request with every default filled in, as `--json` has it. */
export function requestOf(foretold: RequestExplanation, details: AuthorizationDetails) {
  const { environment, tier, task, ttl } = foretold
  const { reason, ticket, labels, break_glass, claimed, command } = details
  const targets = foretold.targets.map(({ variables: _, unset: __, ...target }) => target)
  return {
    ...{ environment, tier, task, targets, ttl },
    ...{ reason, ticket, labels, break_glass, claimed, command },
  }
}

/** Fit for a terminal. */
export function dryRunLines({ foretold, details, child }: Tried, between: string): string[] {
  const { environment, tier, task, ttl, targets, today } = foretold
  const proxied = targets.some(({ delivery }) => delivery === 'proxy')
  const rows: readonly (readonly [string, string])[] = [
    ['would ask', `${task} in ${environment} (${tier}), for ${formatDuration(ttl)}`],
    ...targets.map(({ name, type, delivery, revocability }, at): [string, string] => [
      at === 0 ? 'at' : '',
      [`${name}: ${type}`, delivery === 'proxy' ? 'by proxy' : 'in env', revocability].join(
        between,
      ),
    ]),
    ...saidRows(details),
    ['sets', child.set.join(' ')],
    ...(proxied ? [['', 'and what leads programs to the proxy'] as const] : []),
    ...(child.removed.length > 0 ? [['removes', child.removed.join(' ')] as const] : []),
    ['masks', child.masked.join(' and ') || 'nothing'],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  return [
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${escapeForDisplay(value)}`),
    '',
    ...explanationLines(`${task} in ${environment}`, today).map((line) => escapeForDisplay(line)),
  ]
}

function saidRows({ claimed, command, reason, ticket, labels, break_glass }: AuthorizationDetails) {
  const { repository, branch, commit, dirty } = claimed
  const at = [repository, branch].filter((part) => part !== '').join('@')
  const where = [at, commit.slice(0, 12)]
  const labelled = Object.entries(labels).map(([name, value]) => `${name}=${value}`)
  const rows: readonly (readonly [string, string])[] = [
    ['from', [...where, dirty ? 'with changes' : ''].filter((part) => part !== '').join(' ')],
    ['command', shellWords(command.argv)],
    ['reason', reason],
    ['ticket', ticket],
    ['labels', labelled.join(' ')],
    ['emergency', break_glass ? 'yes' : ''],
  ]
  return rows.filter(([, value]) => value !== '')
}
