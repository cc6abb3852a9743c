import { formatDuration } from '../lib/duration.ts'
import type { Deps } from './deps.ts'
import { symbolsFor } from './symbols.ts'

/** Milliseconds between two drawings on a terminal, and between two lines elsewhere. */
const REDRAW_EVERY = 500
const REPEAT_EVERY = 60_000
/** Where what helps meanwhile starts. */
const ASIDE_AT = 53

/** What is waited for. Plain text, safe to show. */
export interface Awaited {
  /** `waiting for platform-oncall` */
  readonly what: string
  /** What helps meanwhile: beside it where there is room, else above it once. */
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
  let repeated = 0
  const told = new Set<string>()
  const elapsed = () => Math.floor((clock.monotonic() - (started ?? 0)) / 1000)
  const draw = ({ what, aside }: Awaited) => {
    const symbol = symbols.waits[ticks++ % symbols.waits.length] ?? ''
    const left = `${symbol} ${what} ${symbols.more} ${formatDuration(elapsed())}`
    const both = `${left.padEnd(ASIDE_AT)} ${aside}`
    // A line that the terminal wraps can't be redrawn: what doesn't fit on it stays above it.
    const room = io.noteColumns - 1
    if (both.length <= room && !told.has(aside)) return io.redraw(both)
    if (!told.has(aside)) io.note(`  ${io.style.dim(aside)}`)
    told.add(aside)
    io.redraw(left.slice(0, room))
  }
  const tell = ({ what, aside }: Awaited) => {
    const left = `${symbols.waits[0]} ${what}`
    const both = `${left.padEnd(ASIDE_AT)} ${aside}`
    for (const line of both.length <= io.noteColumns ? [both] : [left, `  ${aside}`]) io.note(line)
  }
  const repeat = ({ what }: Awaited) => {
    const minutes = Math.floor((elapsed() * 1000) / REPEAT_EVERY)
    if (minutes > repeated)
      io.note(`${symbols.waits[0]} still ${what} (${formatDuration(elapsed())})`)
    repeated = minutes
  }
  const tick = () => shown && (io.live ? draw : repeat)(shown)
  const begin = () => {
    // Of a wait that was interrupted, too: it began once.
    started ??= clock.monotonic()
    timer = setInterval(tick, REDRAW_EVERY)
    timer.unref()
  }
  return {
    show(awaited) {
      const same = shown?.what === awaited.what
      shown = awaited
      if (!timer) begin()
      if (io.live) draw(awaited)
      else if (!same) tell(awaited)
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
