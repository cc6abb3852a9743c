import { formatDuration } from '../lib/duration.ts'
import type { Deps } from './deps.ts'
import { symbolsFor } from './symbols.ts'

/** Milliseconds between two drawings on a terminal, and between two lines elsewhere. */
const REDRAW_EVERY = 500
const REPEAT_EVERY = 60_000

/** What is waited for. Plain text, safe to show. */
export interface Awaited {
  /** `waiting for platform-oncall` */
  readonly what: string
  /** What helps meanwhile; shown where there is room for it. */
  readonly aside: string
}

/** Says on stderr that something is waited for, until it is stopped. */
export interface Waiting {
  show(awaited: Awaited): void
  /** Leaves nothing behind on a terminal. @returns seconds since it was first shown, if it was */
  stop(): number | undefined
}

/** On a terminal one line that is redrawn with the time that passed; elsewhere a line, and one each minute. */
export function waitingOn({ io, env, clock }: Pick<Deps, 'io' | 'env' | 'clock'>): Waiting {
  const symbols = symbolsFor(env)
  let shown: Awaited | undefined
  let started: number | undefined
  let timer: NodeJS.Timeout | undefined
  let ticks = 0
  const elapsed = () => Math.floor((clock.monotonic() - (started ?? 0)) / 1000)
  const draw = () => {
    const symbol = symbols.waits[ticks++ % symbols.waits.length] ?? ''
    const text = `${shown?.what} ${symbols.more} ${formatDuration(elapsed())}`
    io.redraw(fitted({ symbol, text, aside: shown?.aside ?? '', columns: io.noteColumns }))
  }
  const repeat = () =>
    io.note(`${symbols.waits[0]} still ${shown?.what} (${formatDuration(elapsed())})`)
  const begin = () => {
    // Of a wait that was interrupted, too: it began once.
    started ??= clock.monotonic()
    timer = setInterval(io.live ? draw : repeat, io.live ? REDRAW_EVERY : REPEAT_EVERY)
    timer.unref()
  }
  return {
    show(awaited) {
      const same = shown?.what === awaited.what
      shown = awaited
      if (!timer) begin()
      if (io.live) draw()
      else if (!same)
        io.note(`${symbols.waits[0]} ${awaited.what.padEnd(51)} ${awaited.aside}`.trimEnd())
    },
    stop() {
      if (!timer) return undefined
      clearInterval(timer)
      timer = undefined
      shown = undefined
      if (io.live) io.redraw('')
      return elapsed()
    },
  }
}

/** One line that a terminal doesn't wrap: a wrapped line can't be redrawn. */
function fitted(line: { symbol: string; text: string; aside: string; columns: number }): string {
  const { symbol, text, aside, columns } = line
  const room = columns - 1
  const left = `${symbol} ${text}`
  const both = `${left.padEnd(53)} ${aside}`
  return both.length <= room ? both : left.slice(0, room)
}
