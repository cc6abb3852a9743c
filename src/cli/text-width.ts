import columnsOf from 'fast-string-width'

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
