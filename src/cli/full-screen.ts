import { cutTo, widthOf } from './text-width.ts'

/** Sequences of a terminal (ECMA-48, xterm). */
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J'
const LEAVE = '\u001b[?7h\u001b[?25h\u001b[?1049l'
/** A terminal that knows these shows all of a change at once. */
const BEGIN_UPDATE = '\u001b[?2026h'
const END_UPDATE = '\u001b[?2026l'

/** Keys of raw input. */
const QUIT = /^[qQ]$/
const CTRL_C = '\u0003'
const CTRL_D = '\u0004'
const CTRL_Z = '\u001a'
const CTRL_BACKSLASH = '\u001c'

/** The streams of a terminal, as this needs them. */
export interface TerminalStreams {
  readonly stdin: Pick<NodeJS.ReadStream, 'isTTY' | 'setRawMode' | 'on' | 'off'>
  readonly stdout: Pick<NodeJS.WriteStream, 'write' | 'rows' | 'columns' | 'on' | 'off'>
}

/** What a person does to a screen. */
export interface ScreenEvents {
  /** `q`; Ctrl-C and the like, where keys are signals no more. */
  quit(how: 'asked' | 'interrupted'): void
  /** It has another size, or was away: everything is to be drawn. */
  changed(): void
}

/**
 * The other screen of a terminal, without its cursor, until it is disposed of, or this process ends: then what was
 * there before is there again. Of what is drawn only the lines that changed are written.
 */
export class FullScreen implements Disposable {
  readonly #streams: TerminalStreams
  readonly #events: ScreenEvents
  #shown: readonly string[] = []
  #entered = false

  constructor(streams: TerminalStreams, events: ScreenEvents) {
    this.#streams = streams
    this.#events = events
    streams.stdout.on('resize', this.#resized)
    if (streams.stdin.isTTY) streams.stdin.on('data', this.#typed)
    process.on('exit', this.#leave)
    process.on('SIGCONT', this.#continued)
    process.on('SIGTSTP', this.#suspend)
    this.#enter()
  }

  get columns(): number {
    return this.#streams.stdout.columns
  }

  /** Lines from the top; those beyond the last row are counted there. */
  draw(lines: readonly string[]): void {
    if (!this.#entered) return
    const { rows } = this.#streams.stdout
    const kept = Math.max(0, rows - 1)
    const more = `… and ${lines.length - kept} more lines`
    const shown = lines.length > rows ? [...lines.slice(0, kept), cutTo(more, this.columns)] : lines
    const length = Math.min(rows, Math.max(shown.length, this.#shown.length))
    let written = ''
    for (let row = 0; row < length; row++) {
      const line = shown[row] ?? ''
      if (line === this.#shown[row]) continue
      // Behind a line that fills its row there is nothing, and its last character is where the cursor stands.
      const rest = widthOf(line) < this.columns ? '\u001b[K' : ''
      written += `\u001b[${row + 1};1H${line}${rest}`
    }
    this.#shown = shown
    if (written) this.#streams.stdout.write(BEGIN_UPDATE + written + END_UPDATE)
  }

  [Symbol.dispose](): void {
    const { stdin, stdout } = this.#streams
    this.#leave()
    stdout.off('resize', this.#resized)
    stdin.off('data', this.#typed)
    process.off('exit', this.#leave)
    process.off('SIGCONT', this.#continued)
    process.off('SIGTSTP', this.#suspend)
  }

  #enter(): void {
    const { stdin, stdout } = this.#streams
    this.#entered = true
    this.#shown = []
    if (stdin.isTTY) stdin.setRawMode(true).resume()
    stdout.write(ENTER)
  }

  readonly #leave = (): void => {
    if (!this.#entered) return
    this.#entered = false
    const { stdin, stdout } = this.#streams
    stdout.write(LEAVE)
    if (stdin.isTTY) stdin.setRawMode(false).pause()
  }

  readonly #resized = (): void => {
    if (!this.#entered) return
    // What a terminal makes of lines that were wider than it is now differs: none of it stays.
    this.#shown = []
    this.#streams.stdout.write('\u001b[2J')
    this.#events.changed()
  }

  readonly #typed = (typed: Buffer): void => {
    for (const key of String(typed)) {
      if (QUIT.test(key) || key === CTRL_D) this.#events.quit('asked')
      else if (key === CTRL_C || key === CTRL_BACKSLASH) this.#events.quit('interrupted')
      else if (key === CTRL_Z) this.#suspend()
    }
  }

  /** Ctrl-Z is a key like others here: the shell gets its own screen first. */
  readonly #suspend = (): void => {
    this.#leave()
    process.kill(process.pid, 'SIGSTOP')
  }

  readonly #continued = (): void => {
    if (this.#entered) return
    this.#enter()
    this.#events.changed()
  }
}
