import { appendFileSync } from 'node:fs'

/** Where the runner collects what the cases counted: one JSON object a line. */
export const TALLY_FILE = 'JIT_FAULTS_TALLY'
/** How many times the cases that repeat something do so. */
const RUNS = 'JIT_FAULTS_RUNS'

/** What one case counted. */
export interface Counted {
  /** What was done: `broker killed at mint:created`. */
  readonly fault: string
  /** What it was done to, where that makes a difference. */
  readonly store?: string
  /** What was seen, in the order in which it is to be read: `{ kills: 40, unknown: 0, 'swept s': 1.2 }`. */
  readonly figures: Readonly<Record<string, number | string>>
}

/** Leaves what a case counted for the table at the end. Called before it is judged, so that a failure is told too. */
export function counted(row: Counted): void {
  const file = process.env[TALLY_FILE]
  if (file) appendFileSync(file, `${JSON.stringify(row)}\n`)
}

/** How often a case repeats its fault: `--runs`, or what fits into CI. */
export function runs(usual: number): number {
  return Number(process.env[RUNS]) || usual
}

/** The tally and the number of runs, as the cases find them in their environment. */
export function tallyEnvironment(file: string, times: string | undefined): Record<string, string> {
  return { [TALLY_FILE]: file, ...(times === undefined ? {} : { [RUNS]: times }) }
}
