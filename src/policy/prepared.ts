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
 * another set in its place. So a few places, taken in turn: the current sets of a broker always
 * have theirs, and reloading doesn't grow the process.
 */
const PLACES = 8
const places: (PolicyTexts | undefined)[] = Array.from({ length: PLACES }, () => undefined)
let nextPlace = 0

function placeOf(policies: PolicyTexts): string {
  let place = places.indexOf(policies)
  if (place < 0) {
    place = nextPlace
    nextPlace = (nextPlace + 1) % PLACES
    places[place] = undefined
    const answer = preparsePolicySet(`set-${place}`, { staticPolicies: { ...policies } })
    if (answer.type === 'failure') {
      throw new JitError('policy_invalid', answer.errors[0]?.message ?? 'not a policy set')
    }
    places[place] = policies
  }
  return `set-${place}`
}

/** Decides with a set that is parsed once, at its first use. */
export function authorize(policies: PolicyTexts, call: PreparedCall): AuthorizationAnswer {
  return statefulIsAuthorized({ ...call, preparsedPolicySetId: placeOf(policies) })
}
