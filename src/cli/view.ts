import type { ChalkInstance } from 'chalk'
import type { Deps } from './deps.ts'

/** How lists are shown: where, and at what time. */
export interface View {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Of the terminal; `Infinity` where nothing is cut. */
  readonly columns: number
  readonly style: ChalkInstance
}

/** Lists on stdout, now. */
export function viewOn({ io, clock }: Pick<Deps, 'io' | 'clock'>): View {
  return { now: clock.now(), columns: io.outColumns, style: io.outStyle }
}
