import type { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Io } from './io.ts'

/** Says on stderr what went wrong and what to do about it; the stack only when it is asked for. */
export function reportFailure(
  error: JitError,
  { io, json, debug }: { io: Io; json: boolean; debug: boolean },
): void {
  const { code, message, hint, grant } = error
  if (json) {
    const rest = {
      ...(hint === undefined ? {} : { hint }),
      ...(grant === undefined ? {} : { grant }),
    }
    io.noteWhole(JSON.stringify({ error: { code, message, ...rest } }))
  } else {
    io.note(`jit: ${io.style.red('error')}: ${escapeForDisplay(message)}`)
    if (hint !== undefined) io.note(`jit: ${io.style.cyan('hint')}: ${escapeForDisplay(hint)}`)
  }
  if (debug) io.noteWhole(stackOf(error))
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by: ${stackOf(error.cause)}` : ''
  return `${error.stack}${cause}`
}
