import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { AskProgress } from '../run/asking.ts'
import type { Deps } from './deps.ts'
import { obligationText } from './obligation-text.ts'
import { formatTime } from './receipt-text.ts'
import { symbolsFor } from './symbols.ts'
import { waitingOn } from './waiting.ts'

/** How a report prints: a symbol, what happened, and beside it what belongs to it. */
export type PrintLine = (symbol: string, left: string, right: string) => void

/** Says on stderr what a request waits for, and who let it go on. */
export function waitingReport(
  deps: Pick<Deps, 'io' | 'env' | 'clock'>,
  { say, quiet }: { say: PrintLine; quiet: boolean },
): Omit<AskProgress, 'requested'> {
  const { io, clock, env } = deps
  const symbols = symbolsFor(env)
  const waiting = waitingOn(deps)
  const told = new Set<string>()
  return {
    pending({ grant, obligation, lapses_at }) {
      // Signing in again says for itself what is to be done, and asks where the line would be.
      if (obligation.sign_in) waiting.stop()
      if (quiet || obligation.sign_in) return
      const lapses = `lapses ${formatTime(lapses_at, clock.now())}`
      const aside = [`jit approve ${escapeForDisplay(grant)}`, lapses].join(symbols.between)
      waiting.show({ what: `waiting for ${obligationText(obligation)}`, aside })
    },
    approved({ approvals }) {
      const fresh = approvals.filter(({ approver }) => !told.has(approver.id))
      for (const { approver } of fresh) told.add(approver.id)
      if (fresh.length === 0) return
      const names = fresh.map(({ approver }) => escapeForDisplay(approver.name)).join(', ')
      const took = waiting.stop()
      const at = fresh.at(-1)?.at ?? ''
      const when =
        took === undefined ? `at ${formatTime(at, clock.now())}` : `after ${formatDuration(took)}`
      say(io.style.green(symbols.done), `approved by ${names}`, when)
    },
    lost({ message }) {
      if (quiet) return
      const warning = io.style.yellow('warning')
      io.note(`jit: ${warning}: ${escapeForDisplay(message)}; connecting again`)
    },
    waited: () => void waiting.stop(),
    withdrawn({ grant }, confirmed) {
      const id = escapeForDisplay(grant)
      if (confirmed) say(io.style.green(symbols.done), `withdrew ${id}`, '')
      else io.note(`jit: ${io.style.yellow('warning')}: the broker withdraws ${id} by itself`)
    },
  }
}
