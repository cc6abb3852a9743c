import type { Counted } from './tally.ts'

/** One line a case: what was done, to what, what was seen. */
export function printed(rows: readonly Counted[]): string {
  const cells = rows.map(({ fault, store = '', figures }) => [
    fault,
    store,
    Object.entries(figures)
      .map(([what, seen]) => `${what} ${rounded(seen)}`)
      .join(', '),
  ])
  const all = [['fault', 'store', 'counted'], ...cells]
  const width = (column: number) => Math.max(...all.map((row) => row[column]?.length ?? 0))
  const [first, second] = [width(0), width(1)]
  return all
    .map(
      ([fault = '', store = '', seen]) =>
        `${fault.padEnd(first)}  ${store.padEnd(second)}  ${seen}\n`,
    )
    .join('')
}

function rounded(seen: number | string): string {
  if (typeof seen === 'string' || Number.isInteger(seen)) return String(seen)
  return seen.toFixed(seen < 10 ? 2 : 1)
}
