import type { CaseResult } from './case-run.ts'
import type { PolicySet } from './decide.ts'
import { decidingPolicies } from './ruling.ts'
import { locate } from './source.ts'

/** A policy that decided in no case, and where it stands. */
export interface Uncovered {
  readonly id: string
  /** `file:line` */
  readonly at: string
}

/** Which policies said what counted in some case: a permit also where it takes an approval first. */
export interface Coverage {
  readonly policies: number
  readonly covered: number
  /** 0 to 100, rounded down. */
  readonly percent: number
  readonly uncovered: readonly Uncovered[]
}

export function coverageOf(results: readonly CaseResult[], policies: PolicySet): Coverage {
  const decided = new Set(
    results.flatMap(({ ruling }) => [
      ...decidingPolicies(ruling),
      ...(ruling.obligation?.thenPermitted ?? []),
    ]),
  )
  const uncovered = policies.policies
    .filter(({ id }) => !decided.has(id))
    .map(({ id, source }) => ({ id, at: locate(source) }))
  const covered = policies.size - uncovered.length
  const percent = Math.floor((100 * covered) / policies.size)
  return { policies: policies.size, covered, percent, uncovered }
}
