import { stripVTControlCharacters } from 'node:util'
import columnsOf from 'fast-string-width'
import { wrapAnsi } from 'fast-wrap-ansi'

const ASCII = /^[\x20-\x7e]*$/
const CUT = '…'

let graphemes: Intl.Segmenter | undefined

/**
 * The columns that text takes on a terminal: wide characters (CJK, emoji) two, combining ones none. Colours
 * don't count. Syllables in parts are put together first, as terminals do.
 */
export function widthOf(text: string): number {
  return ASCII.test(text) ? text.length : columnsOf(text.normalize('NFC'))
}

/** As much of plain text as fits; where that isn't all of it, with `…` at the end. No character is cut in two. */
export function cutTo(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text
  graphemes ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' })
  let kept = ''
  let width = 0
  for (const { segment } of graphemes.segment(text)) {
    const next = widthOf(segment)
    if (width + next > columns - CUT.length) break
    kept += segment
    width += next
  }
  return columns < CUT.length ? '' : kept + CUT
}

/** Text with blanks behind it, so that what follows stands in one column. */
export function padTo(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - widthOf(text)))
}

/** A command that is named behind a colon, or is all of the line: somebody copies it. */
const COMMAND = /(?<=^\s*|: )jit [^,;()[]*[^,;()[\s]/g
const HELD = '\u00a0'

/**
 * Lines broken between words to fit a terminal, each under the first word of the one it goes on. A word that is
 * longer than the terminal stays whole, and so does a command: what the terminal breaks can still be copied.
 */
export function wrapTo(text: string, columns: number): string {
  return text
    .split('\n')
    .map((line) => (widthOf(line) <= columns ? line : wrapLine(line, columns)))
    .join('\n')
}

function wrapLine(line: string, columns: number): string {
  // Indented, or behind a symbol.
  const [, blanks = '', symbol = ''] =
    /^( *)(\S (?=\S))?/u.exec(stripVTControlCharacters(line)) ?? []
  const margin = blanks.length + symbol.length
  const held = line.replace(COMMAND, (command) => command.replaceAll(' ', HELD))
  const rows = wrapAnsi(held, Math.max(1, columns - margin)).split('\n')
  return (blanks + rows.join(`\n${' '.repeat(margin)}`)).replaceAll(HELD, ' ')
}
