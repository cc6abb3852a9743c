import type { Obligation } from '../protocol/obligation.ts'
import type { Case, Expected } from './cases.ts'
import type { PolicySet } from './decide.ts'
import { decidingPolicies, type Ruling, ruleOn } from './ruling.ts'

/** What came of a case. */
export interface CaseResult {
  readonly case: Case
  readonly ruling: Ruling
  /** What came otherwise than expected; none: it holds. */
  readonly problems: readonly string[]
}

/** Puts a case to the policies. */
export function runCase(one: Case, policies: PolicySet): CaseResult {
  const ruling = ruleOn(one.stated, policies)
  return { case: one, ruling, problems: problemsOf(one.expected, ruling) }
}

function problemsOf(expected: Expected, ruling: Ruling): string[] {
  if (expected.decision !== ruling.decision) {
    return [`expected ${inWords(expected)}, came ${cameOf(ruling)}`]
  }
  const problems: string[] = []
  const wants = ruling.obligation?.wants
  if (wants && !fitsObligation(expected, wants)) {
    problems.push(`expected ${inWords(expected)}, came ${cameOf(ruling)}`)
  }
  const ids = decidingPolicies(ruling)
  if (expected.policies && !isSame(expected.policies, ids)) {
    const named = [...expected.policies].sort().join(', ') || 'none'
    problems.push(`expected policies ${named}, came ${ids.join(', ') || 'none'}`)
  }
  return problems
}

/** Where a case says what is wanted, it says all of it. */
function fitsObligation({ signIn, approvals }: Expected, wants: Obligation): boolean {
  if (signIn === undefined && approvals === undefined) return true
  const asked = Object.entries(approvals ?? {}).map(([group, people]) => `${group} ${people}`)
  const came = wants.approvals.map(({ group, people }) => `${group} ${people}`)
  if (!isSame(asked, came)) return false
  if (!signIn) return wants.sign_in === undefined
  return (
    wants.sign_in !== undefined && (signIn === true || isSame(signIn, wants.sign_in.acr_values))
  )
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return [...new Set(some)].sort().join('\n') === [...new Set(others)].sort().join('\n')
}

function inWords({ decision, signIn, approvals = {} }: Expected): string {
  if (decision !== 'obligation') return decision
  const wants = [
    ...(signIn ? [signInWords(signIn === true ? [] : signIn)] : []),
    ...Object.entries(approvals).map(([group, people]) => approvalWords({ group, people })),
  ]
  return wants.length > 0 ? `obligation (${wants.join(' and ')})` : 'obligation'
}

function cameOf(ruling: Ruling): string {
  const said = decidingPolicies(ruling).join(', ')
  const errors = ruling.answers.flatMap(({ decision }) =>
    decision.effect === 'deny' ? decision.errors : [],
  )
  if (errors.length > 0) return `deny by an error: ${errors.join('; ')}`
  const wants = ruling.obligation ? ` (${obligationWords(ruling.obligation.wants)})` : ''
  return `${ruling.decision}${wants} by ${said || 'no policy'}`
}

/** `a fresh sign-in and 2 of platform-oncall` */
export function obligationWords({ sign_in, approvals }: Obligation): string {
  const wants = approvals.map(approvalWords)
  return (sign_in ? [signInWords(sign_in.acr_values), ...wants] : wants).join(' and ')
}

function signInWords(acr: readonly string[]): string {
  return acr.length > 0 ? `a fresh sign-in by ${acr.join(' or ')}` : 'a fresh sign-in'
}

function approvalWords({ group, people }: { group: string; people: 1 | 2 }): string {
  return `approval by ${people} of ${group}`
}
