import type { ApprovalObligation, Obligation } from '../protocol/obligation.ts'
import type { RequestContext } from './question.ts'

/** How old a fresh sign-in may be, in seconds: what it takes from the provider to the decision. */
export const FRESH_SECONDS = 60

/** A change of context that a decision is tried in. */
export interface Hypothesis {
  /** A sign-in of just now, in this authentication context; `''`: in any. */
  readonly signIn?: { readonly acr: string }
  readonly approvals: readonly ApprovalObligation[]
}

/**
 * The context as it would be then. Approvals come on top of those that are there already; who would
 * give them isn't known, so that each is by a person whom no policy can name.
 */
export function suppose(
  context: RequestContext,
  { signIn, approvals }: Hypothesis,
): RequestContext {
  const { authentication, now } = context
  const groups = approvals.map(({ group }) => group)
  const byTwo = approvals.flatMap(({ group, people }) => (people === 2 ? [group] : []))
  return {
    ...context,
    authentication: signIn
      ? {
          ...authentication,
          acr: signIn.acr || authentication.acr,
          at: now - FRESH_SECONDS * 1000,
        }
      : authentication,
    approvals: union(context.approvals, groups),
    approvalsByTwo: union(context.approvalsByTwo, byTwo),
    approvers: union(context.approvers, approvals.flatMap(someone)),
  }
}

/** Ids of people that no issuer can give: theirs begin with a host. */
function someone({ group, people }: ApprovalObligation): string[] {
  return Array.from({ length: people }, (_, at) => `?/${group}/${at + 1}`)
}

function union(real: readonly string[] = [], supposed: readonly string[]): readonly string[] {
  return [...new Set([...real, ...supposed])]
}

export interface ObligationSearch {
  /** The groups that may be asked: at most 8 (`approvers:`). */
  readonly approvers: readonly string[]
  /** The authentication contexts that may be asked for: at most 4 (`acr:`). */
  readonly acr: readonly string[]
  /** Whether the answer would be yes. */
  readonly permits: (hypothesis: Hypothesis) => boolean
}

/**
 * The smallest obligation that turns the answer, if any does. Tried in this order: a fresh sign-in;
 * approvals, by one group before two and by few people before many; both. With `g` groups and `a`
 * authentication contexts `permits` is asked at most `(a + 2)(2g² + 1) - 1` times: 17 with two
 * groups, 773 with the most there may be.
 */
export function findObligation(search: ObligationSearch): Obligation | undefined {
  for (const hypothesis of hypotheses(search)) {
    if (search.permits(hypothesis)) return obligationOf(hypothesis)
  }
  return undefined
}

function* hypotheses({ approvers, acr }: ObligationSearch): Generator<Hypothesis> {
  const signIns = ['', ...acr].map((acr) => ({ acr }))
  for (const signIn of signIns) yield { signIn, approvals: [] }
  for (const approvals of combinations(approvers)) yield { approvals }
  for (const approvals of combinations(approvers)) {
    for (const signIn of signIns) yield { signIn, approvals }
  }
}

function* combinations(groups: readonly string[]): Generator<ApprovalObligation[]> {
  for (const people of [1, 2] as const) {
    for (const group of groups) yield [{ group, people }]
  }
  const pairs = groups.flatMap((one, at) =>
    groups.slice(at + 1).map((other) => [one, other] as const),
  )
  for (const [first, second] of [
    [1, 1],
    [2, 1],
    [1, 2],
    [2, 2],
  ] as const) {
    for (const [one, other] of pairs) {
      yield [
        { group: one, people: first },
        { group: other, people: second },
      ]
    }
  }
}

function obligationOf({ signIn, approvals }: Hypothesis): Obligation {
  if (!signIn) return { approvals: [...approvals] }
  const acr_values = signIn.acr === '' ? [] : [signIn.acr]
  return { sign_in: { max_age: FRESH_SECONDS, acr_values }, approvals: [...approvals] }
}
