import {
  type AuthorizationAnswer,
  preparsePolicySet,
  type StatefulAuthorizationCall,
  statefulIsAuthorized,
} from '@cedar-policy/cedar-wasm/nodejs'
import { JitError } from '../lib/errors.ts'

/** Policies by id, decided together. */
export type PolicyTexts = Readonly<Record<string, string>>

export type PreparedCall = Omit<StatefulAuthorizationCall, 'preparsedPolicySetId'>

/**
 * Cedar keeps what it has parsed under a name for ever: there is no way to free it, only to put
 * another set in its place. So a set that is gone leaves its place, empty, to the next: reloading
 * doesn't grow the process.
 */
const places = new WeakMap<PolicyTexts, string>()
const left: string[] = []
let taken = 0
const leaving = new FinalizationRegistry<string>((place) => {
  preparsePolicySet(place, { staticPolicies: {} })
  left.push(place)
})

function placeOf(policies: PolicyTexts): string {
  const known = places.get(policies)
  if (known) return known
  const place = left.pop() ?? `set-${taken++}`
  const answer = preparsePolicySet(place, { staticPolicies: { ...policies } })
  if (answer.type === 'failure') {
    left.push(place)
    throw new JitError('policy_invalid', answer.errors[0]?.message ?? 'not a policy set')
  }
  places.set(policies, place)
  leaving.register(policies, place)
  return place
}

/** Decides with a set that is parsed once, at its first use. */
export function authorize(policies: PolicyTexts, call: PreparedCall): AuthorizationAnswer {
  return statefulIsAuthorized({ ...call, preparsedPolicySetId: placeOf(policies) })
}
