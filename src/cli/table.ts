import { stripVTControlCharacters } from 'node:util'

const GAP = '  '
/** No column is made narrower than this. */
const LEAST = 6
const CUT = '…'

const width = (cell: string): number => stripVTControlCharacters(cell).length

/** Where a table goes, and which of its columns may be cut to make it fit. */
export interface Fit {
  /** Columns of the terminal; `Infinity` for a pipe, which gets all of it. */
  readonly columns: number
  /** Indexes of columns with plain text. */
  readonly flexible: readonly number[]
}

/** Rows as aligned lines; the first is the heading. Colours don't count as width. */
export function formatTable(rows: readonly (readonly string[])[], fit?: Fit): string[] {
  const natural: number[] = []
  for (const row of rows) {
    row.forEach((cell, column) => {
      natural[column] = Math.max(natural[column] ?? 0, width(cell))
    })
  }
  const widths = fit ? fitted(natural, fit) : natural
  return rows.map((row) =>
    row
      .map((cell, column) => padded(cell, widths[column] ?? 0))
      .join(GAP)
      .trimEnd(),
  )
}

/** Takes from the widest flexible column until the line fits, or nothing more can go. */
function fitted(natural: readonly number[], { columns, flexible }: Fit): number[] {
  const widths = [...natural]
  const widthOf = (column: number) => widths[column] ?? 0
  let excess = natural.reduce((sum, each) => sum + each + GAP.length, -GAP.length) - columns
  while (excess > 0) {
    const widest = flexible.reduce((a, b) => (widthOf(b) > widthOf(a) ? b : a), flexible[0] ?? 0)
    if (widthOf(widest) <= LEAST) break
    widths[widest] = widthOf(widest) - 1
    excess -= 1
  }
  return widths
}

function padded(cell: string, to: number): string {
  const missing = to - width(cell)
  return missing < 0 ? `${cell.slice(0, to - 1)}${CUT}` : cell + ' '.repeat(missing)
}
