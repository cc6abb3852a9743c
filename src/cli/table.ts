import { cutTo, padTo, widthOf } from './text-width.ts'

const GAP = '  '
/** What columns are cut to at first, one after the other; and in the end, where that isn't enough. */
const NARROWEST = [12, 6]
/** On a terminal with fewer columns each row is a block of lines. */
const ROOM_FOR_ROWS = 60

/** Plain text, and how it is coloured once it has been made to fit. */
export interface PaintedCell {
  readonly text: string
  readonly paint: (text: string) => string
}
export type Cell = string | PaintedCell

/** Where a table goes, and which of its columns may be cut to make it fit. */
export interface Fit {
  /** Columns of the terminal; `Infinity` for a pipe, which gets all of it. */
  readonly columns: number
  /** Indexes of columns, the least important first. */
  readonly flexible: readonly number[]
}

/**
 * Rows as aligned lines; the first is the heading. Where they can't be made to fit, each is a block of lines
 * instead: its first cell, and under it the others, with their headings.
 * @param rows safe to show
 */
export function formatTable(rows: readonly (readonly Cell[])[], fit?: Fit): string[] {
  const natural: number[] = []
  for (const row of rows) {
    row.forEach((cell, column) => {
      natural[column] = Math.max(natural[column] ?? 0, widthOf(textOf(cell)))
    })
  }
  if (!fit) return rows.map((row) => line(row, natural))
  const widths = fitted(natural, fit)
  const tooWide = lengthOf(widths) > fit.columns
  if (tooWide || fit.columns < Math.min(ROOM_FOR_ROWS, lengthOf(natural))) return blocks(rows, fit)
  return rows.map((row) => line(row, widths))
}

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text)

const lengthOf = (widths: readonly number[]): number =>
  widths.reduce((sum, each) => sum + each + GAP.length, -GAP.length)

/** Takes from the least important columns until the line fits, or nothing more can go. */
function fitted(natural: readonly number[], { columns, flexible }: Fit): number[] {
  const widths = [...natural]
  let excess = lengthOf(natural) - columns
  for (const narrowest of NARROWEST) {
    for (const column of flexible) {
      const width = widths[column] ?? 0
      const taken = Math.max(0, Math.min(excess, width - narrowest))
      widths[column] = width - taken
      excess -= taken
    }
  }
  return widths
}

function line(row: readonly Cell[], widths: readonly number[]): string {
  return row
    .map((cell, column) => padTo(shown(cell, widths[column] ?? 0), widths[column] ?? 0))
    .join(GAP)
    .trimEnd()
}

function shown(cell: Cell, columns: number): string {
  const text = cutTo(textOf(cell), columns)
  return typeof cell === 'string' ? text : cell.paint(text)
}

function blocks([heading = [], ...rows]: readonly (readonly Cell[])[], { columns }: Fit): string[] {
  const names = heading.map((cell) => textOf(cell).toLowerCase())
  const margin = Math.max(0, ...names.slice(1).map(widthOf)) + 2 * GAP.length
  return rows.flatMap(([first = '', ...others], at) => [
    ...(at > 0 ? [''] : []),
    shown(first, columns),
    ...others.flatMap((cell, index) => {
      const name = names[index + 1] ?? ''
      const room = Math.max(1, columns - margin)
      return textOf(cell) === '' ? [] : [padTo(`${GAP}${name}`, margin) + shown(cell, room)]
    }),
  ])
}
