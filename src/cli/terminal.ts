import type { ChalkInstance } from 'chalk'
import { inForeground } from './foreground.ts'
import type { Io } from './io.ts'
import { wrapTo } from './text-width.ts'

/** The terminal, whose colours take a moment: loaded before a command runs, not for `--version`. */
export interface Terminal extends Io {
  loadStyle(): Promise<void>
}

/** To the start of the line, and everything on it away (ECMA-48). */
const ERASE = '\r\u001b[K'

/** Whether no person is there, whatever the streams are: `CI`, as its services set it. */
export function isAutomated(env: Readonly<Record<string, string | undefined>>): boolean {
  return Boolean(env.CI) && env.CI !== 'false' && env.CI !== '0'
}

/**
 * The terminal this process was started on. Colours follow chalk's detection, which obeys
 * `FORCE_COLOR` and `CI`, and `NO_COLOR` (no-color.org) before it.
 */
export function openTerminal(env: Readonly<Record<string, string | undefined>>): Terminal {
  // The line that is drawn again and again, and stands below every other.
  let drawn = ''
  let styles: { err: ChalkInstance; out: ChalkInstance } | undefined
  const loaded = () => {
    if (!styles) throw new Error('colours are not loaded')
    return styles
  }
  // In the background a line would be drawn over whatever the person does meanwhile.
  const live = () =>
    Boolean(process.stderr.isTTY) &&
    env.TERM !== 'dumb' &&
    !isAutomated(env) &&
    inForeground() !== false
  const noteColumns = () => process.stderr.columns || Infinity
  const noteWhole = (line: string) => {
    // Nobody may be left to read it (a closed terminal): that is no reason to end before the rest is done.
    if (process.stderr.listenerCount('error') === 0) process.stderr.on('error', () => {})
    // What was drawn before a Ctrl-Z and `bg` is the shell's line by now.
    if (!live()) drawn = ''
    process.stderr.write(`${drawn && ERASE}${line}\n${drawn}`)
  }
  return {
    out(line) {
      // Not before: a wrapped command's stdout is its own, and ends it by itself.
      if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', endQuietly)
      process.stdout.write(`${line}\n`)
    },
    note(line) {
      noteWhole(wrapTo(line, noteColumns()))
    },
    noteWhole,
    redraw(line) {
      process.stderr.write(`${ERASE}${line}`)
      drawn = line
    },
    get live() {
      return live()
    },
    get interactive() {
      return Boolean(process.stdin.isTTY && process.stderr.isTTY)
    },
    get noteColumns() {
      return noteColumns()
    },
    get outColumns() {
      return process.stdout.columns || Infinity
    },
    get style() {
      return loaded().err
    },
    get outStyle() {
      return loaded().out
    },
    async loadStyle() {
      styles ??= await createStyles(env)
    },
  }
}

async function createStyles(env: Readonly<Record<string, string | undefined>>) {
  const { Chalk, supportsColor, supportsColorStderr } = await import('chalk')
  const create = (support: typeof supportsColor) =>
    new Chalk({ level: env.NO_COLOR || !support ? 0 : support.level })
  return { err: create(supportsColorStderr), out: create(supportsColor) }
}

/** `jit grants | head -1`: whoever reads has seen enough. */
function endQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit()
}
