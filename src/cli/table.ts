import { stripVTControlCharacters } from 'node:util'

const GAP = '  '

const width = (cell: string): number => stripVTControlCharacters(cell).length

/** Rows as aligned lines; the first is the heading. Colours don't count as width. */
export function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, width(cell))
    })
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - width(cell)))
      .join(GAP)
      .trimEnd(),
  )
}
