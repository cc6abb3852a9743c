import type { ChalkInstance } from 'chalk'

/**
 * The terminal. stdout carries only what was asked for; notices, progress and prompts go to stderr.
 */
export interface Io {
  /** One line of what was asked for. */
  out(line: string): void
  /** One line for the person, broken between words where it is longer than the terminal. */
  note(line: string): void
  /** The same as it is: for programs. */
  noteWhole(line: string): void
  /**
   * Draws one line for the person in place of the one drawn before; an empty one only takes it away.
   * Where {@link Io.live} is false there is no such line.
   */
  redraw(line: string): void
  /** Whether stderr is a terminal on which a line can be drawn again, and a person looks on; may change (`fg`). */
  readonly live: boolean
  /** Whether stderr and stdin are a terminal, so that questions can be asked. */
  readonly interactive: boolean
  /** Columns of the terminal that stderr is; `Infinity` where it is none. */
  readonly noteColumns: number
  /** Columns of the terminal that stdout is; `Infinity` where it is none: nothing is cut then. */
  readonly outColumns: number
  /** Colours for stderr and for stdout: each plain where that stream (or `NO_COLOR`) wants none. */
  readonly style: ChalkInstance
  readonly outStyle: ChalkInstance
}
