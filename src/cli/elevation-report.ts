import type { Requested } from '../client/asking.ts'
import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { ClaimedContext } from '../protocol/request.ts'
import type { Finished, Progress, Stopped } from '../run/elevated.ts'
import { GRANT_VARIABLE } from '../run/environment.ts'
import type { Deps } from './deps.ts'
import { progressOn } from './progress.ts'
import { formatTime, receiptText } from './receipt-text.ts'
import { symbolsFor } from './symbols.ts'
import { type PrintLine, waitingReport } from './waiting-report.ts'

/** Where the second column starts. */
const COLUMN = 54

/** Says on stderr what an elevation is doing. */
export interface ElevationReport extends Progress {
  finished(finished: Finished): void
}

/** @param quiet say only what went wrong */
export function elevationReport(
  { io, env, clock }: Pick<Deps, 'io' | 'env' | 'clock'>,
  { claimed, quiet }: { claimed: ClaimedContext; quiet: boolean },
): ElevationReport {
  const symbols = symbolsFor(env)
  // Set by the jit that this one runs under.
  const outer = env[GRANT_VARIABLE]
  const line: PrintLine = (symbol, left, right) => {
    const padded = left.padEnd(COLUMN - 3)
    // Each symbol is one column wide.
    const fits = 2 + padded.length + 1 + right.length <= io.noteColumns
    if (right && fits) io.note(`${symbol} ${padded} ${io.style.dim(right)}`)
    else io.note(`${symbol} ${left}`)
    if (right && !fits) io.note(`  ${io.style.dim(right)}`)
  }
  const warn = (text: string) => io.note(`jit: ${io.style.yellow('warning')}: ${text}`)
  const say: PrintLine = quiet ? () => {} : line
  const progress = progressOn({ io, env, clock }, { quiet })
  const waits = waitingReport({ io, env, clock }, { say, quiet })
  progress.begin('asking the broker')
  return {
    ...waits,
    pending(pending) {
      // From here on there is a line for what is waited for.
      progress.end()
      waits.pending(pending)
    },
    waited() {
      progress.end()
      waits.waited()
    },
    requested(requested) {
      progress.end()
      say(
        io.style.blue(symbols.asks),
        titleOf(requested, claimed, symbols.between),
        [
          `asks for ${requested.targets.join(', ')}`,
          formatDuration(requested.ttl),
          ...(outer ? [`within ${escapeForDisplay(outer)}`] : []),
        ].join(symbols.between),
      )
      progress.begin(`getting credentials for ${requested.targets.join(', ')}`)
    },
    approved(approved) {
      waits.approved(approved)
      progress.begin('getting credentials')
    },
    granted: ({ grant, expires_at, credentials }) =>
      say(
        io.style.green(symbols.done),
        `granted ${grant} until ${formatTime(expires_at, clock.now())}`,
        credentials
          .map(({ target, revocability, upstream }) =>
            upstream ? `${target}: ${revocability}, by proxy` : `${target}: ${revocability}`,
          )
          .join(symbols.between),
      ),
    unrenewable: (targets, expiresAt) => {
      const at = formatTime(expiresAt, clock.now())
      if (!quiet)
        io.note(io.style.dim(`  ${targets.join(', ')} can't be renewed: this ends at ${at}`))
    },
    renewalRefused: (error, expiresAt) =>
      warn(`not renewed (${escapeForDisplay(error.message)}): ${endText(expiresAt, clock.now())}`),
    endsSoon: (expiresAt) => warn(endText(expiresAt, clock.now())),
    stopping: (why) => warn(`${stopText(why)}: stopping the command`),
    releasing: ({ credentials }) =>
      progress.begin(`giving ${credentials.map(({ target }) => target).join(', ')} back`),
    survived: (pids) => warn(`could not end process ${pids.join(', ')}`),
    finished({ granted, release, releaseTook, stopped }) {
      progress.end()
      if (release.kind === 'unconfirmed') {
        warn(`no receipt for ${granted.grant}: ${escapeForDisplay(release.reason)}`)
        warn(lateText(granted.grace, formatTime(granted.expires_at, clock.now())))
        return
      }
      const { gone, remaining, unsettled } = receiptText(release.receipt, {
        now: clock.now(),
        asked: granted.credentials.map(({ target }) => target),
      })
      const took = stopped ? '' : ` in ${Math.round(releaseTook)} ms`
      const left = gone ? `${gone}${took}` : 'given back'
      const symbol = unsettled ? io.style.yellow(symbols.attention) : io.style.green(symbols.done)
      const print = unsettled ? line : say
      print(symbol, left, remaining.join(symbols.between))
    },
  }
}

function titleOf(
  { environment, task }: Requested,
  claimed: ClaimedContext,
  between: string,
): string {
  const branch = claimed.branch ? `@${claimed.branch}` : ''
  const where = claimed.repository ? [`${claimed.repository}${branch}`] : []
  return [environment, task, ...where].map(escapeForDisplay).join(between)
}

function stopText(why: Stopped): string {
  if (why.kind === 'cancelled') return 'cancelled'
  if (why.kind === 'deadline') return "the grant's time is over"
  if (why.kind === 'refused') return `the grant is over (${escapeForDisplay(why.error.message)})`
  // These reasons begin with what ended it.
  const said = ['revoked', 'context'].includes(why.endedBy) && why.reason !== ''
  const by = said ? [] : [why.endedBy]
  const words = [...by, escapeForDisplay(why.reason)].filter((part) => part !== '')
  return `the broker ended the grant (${words.join(': ')})`
}

function endText(expiresAt: string, now: number): string {
  const left = formatDuration((Date.parse(expiresAt) - now) / 1000)
  return `the command is stopped in ${left}, at ${formatTime(expiresAt, now)}`
}

function lateText(grace: number, deadline: string): string {
  const within = formatDuration(grace)
  return `the broker ends it ${within} after it lost the connection, at ${deadline} at the latest`
}
