import type { Decision } from './decide.ts'
import { authorize, type PolicyTexts, type PreparedCall } from './prepared.ts'
import { UnaskableError } from './request.ts'

/** What a set says that has nothing to say. */
export const NOTHING_PERMITS: Decision = {
  effect: 'deny',
  because: 'not-permitted',
  policies: [],
  errors: [],
}

/** Whether a denial stands only until something permits. */
export function lacksPermit(decision: Decision): boolean {
  if (decision.effect === 'permit') return false
  return decision.because === 'not-permitted' || decision.because === 'unnamed-delivery'
}

/** Cedar's answer to a call. Whatever goes wrong on the way is a no. */
export function answerOf(policies: PolicyTexts, call: () => PreparedCall): Decision {
  try {
    const result = authorize(policies, call())
    if (result.type === 'failure') return failed(result.errors.map(({ message }) => message))
    const { decision, diagnostics } = result.response
    if (diagnostics.errors.length > 0) {
      const messages = diagnostics.errors.map(({ error }) => error.message)
      return failed(messages, diagnostics.errors.map(({ policyId }) => policyId).sort())
    }
    const ids = diagnostics.reason.sort()
    if (decision === 'allow') return { effect: 'permit', policies: ids }
    const because = ids.length > 0 ? 'forbidden' : 'not-permitted'
    return { effect: 'deny', because, policies: ids, errors: [] }
  } catch (thrown) {
    const message =
      thrown instanceof UnaskableError ? thrown.message : `evaluation failed: ${thrown}`
    return failed([message])
  }
}

/**
 * The answer of the union of two sets by those of each: Cedar evaluates every policy for itself, any
 * error denies, then any `forbid`, then any `permit` permits.
 */
export function answerOfBoth(one: Decision, other: Decision): Decision {
  const answers = [one, other]
  const idsOf = (some: readonly Decision[]) => [...new Set(some.flatMap((a) => a.policies))].sort()
  const errors = answers.flatMap((a) => (a.effect === 'deny' ? a.errors : []))
  const failures = answers.filter((a) => a.effect === 'deny' && a.because === 'error')
  if (failures.length > 0) return failed([...new Set(errors)], idsOf(failures))
  const forbidding = answers.filter((a) => a.effect === 'deny' && a.because === 'forbidden')
  if (forbidding.length > 0) {
    return { effect: 'deny', because: 'forbidden', policies: idsOf(forbidding), errors: [] }
  }
  const permitting = answers.filter(({ effect }) => effect === 'permit')
  if (permitting.length === 0) {
    const unnamed = answers.find((a) => a.effect === 'deny' && a.because === 'unnamed-delivery')
    return unnamed ?? NOTHING_PERMITS
  }
  return { effect: 'permit', policies: idsOf(permitting) }
}

function failed(errors: readonly string[], policies: readonly string[] = []): Decision {
  return { effect: 'deny', because: 'error', policies, errors }
}
