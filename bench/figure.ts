/** One line of the table: what was measured beside the least it could be, seen in the same run. */
export interface Figure {
  readonly what: string
  readonly unit: 'ms' | 'cycles/s' | 'MB' | 'MB/s'
  readonly measured: number
  readonly floor: number
  readonly floorIs: string
  /** What it has to reach: a least for rates, a most for the others. */
  readonly budget?: number
}

/** Whether a figure keeps its budget; `undefined` without one. */
export function met({ unit, measured, budget }: Figure): boolean | undefined {
  if (budget === undefined) return undefined
  return isRate(unit) ? measured >= budget : measured <= budget
}

function isRate(unit: Figure['unit']): boolean {
  return unit.endsWith('/s')
}

const HEADER = ['', 'measured', 'floor', 'floor is', 'budget', '']
const RIGHT = new Set([1, 2, 4])

/** The figures as a Markdown table, readable as it is. */
export function table(figures: readonly Figure[]): string {
  const rows = [HEADER, ...figures.map(cells)]
  const widths = HEADER.map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, at) => pad(cell, { width: widths[at] ?? 0, right: RIGHT.has(at) })).join(' | ')} |`
  const rule = widths.map((width, at) =>
    RIGHT.has(at) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width),
  )
  const [header = [], ...body] = rows
  return [line(header), line(rule), ...body.map(line)].join('\n')
}

function cells(figure: Figure): string[] {
  const { what, unit, measured, floor, floorIs, budget } = figure
  const reached = met(figure)
  const sign = isRate(unit) ? '≥' : '≤'
  return [
    what,
    amount(measured, unit),
    amount(floor, unit),
    floorIs,
    budget === undefined ? '' : `${sign} ${amount(budget, unit)}`,
    reached === undefined ? '' : reached ? 'kept' : 'missed',
  ]
}

function amount(value: number, unit: Figure['unit']): string {
  const digits = value < 1 ? 3 : value < 100 ? 1 : 0
  return `${value.toFixed(digits)} ${unit}`
}

function pad(text: string, { width, right }: { width: number; right: boolean }): string {
  return right ? text.padStart(width) : text.padEnd(width)
}
