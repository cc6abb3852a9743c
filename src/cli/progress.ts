import { formatDuration } from '../lib/duration.ts'
import type { Deps } from './deps.ts'
import { symbolsFor } from './symbols.ts'
import { cutTo } from './text-width.ts'

/** Milliseconds: what takes no longer isn't worth a word. */
const PATIENCE = 1000
const REDRAW_EVERY = 500

/** Says on a terminal what takes longer than a second, while it does; nothing of it stays. */
export interface Progress {
  /** @param what `asking the broker`; another one takes the place of the one before */
  begin(what: string): void
  end(): void
  /** As long as some work takes. */
  during<T>(what: string, work: Promise<T>): Promise<T>
}

/** @param options.quiet nothing is ever said */
export function progressOn(
  { io, env, clock }: Pick<Deps, 'io' | 'env' | 'clock'>,
  { quiet = false }: { quiet?: boolean | undefined } = {},
): Progress {
  const { waits, more } = symbolsFor(env)
  let timer: NodeJS.Timeout | undefined
  let drawn = false
  const draw = (what: string, { since, ticks }: { since: number; ticks: number }) => {
    if (!io.live) return
    const took = formatDuration(Math.floor((clock.monotonic() - since) / 1000))
    const text = `${waits[ticks % waits.length]} ${what} ${more} ${took}`
    io.redraw(cutTo(text, io.noteColumns - 1))
    drawn = true
  }
  const progress: Progress = {
    begin(what) {
      progress.end()
      if (quiet) return
      const since = clock.monotonic()
      let ticks = 0
      const tick = () => {
        draw(what, { since, ticks })
        ticks += 1
        timer = setTimeout(tick, REDRAW_EVERY).unref()
      }
      timer = setTimeout(tick, PATIENCE).unref()
    },
    end() {
      clearTimeout(timer)
      if (drawn && io.live) io.redraw('')
      drawn = false
    },
    async during(what, work) {
      progress.begin(what)
      try {
        return await work
      } finally {
        progress.end()
      }
    },
  }
  return progress
}
