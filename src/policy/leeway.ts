import { attributesOfPolicy } from './attributes.ts'
import { clausesOf, unmetOf } from './clauses.ts'
import type { Decision, PolicySet } from './decide.ts'
import type { ParsedPolicy } from './parsed.ts'
import type { PreparedCall } from './prepared.ts'
import type { TaskQuestion } from './question.ts'
import { taskCall } from './request.ts'

type Denial = Extract<Decision, { effect: 'deny' }>

/** What whoever asks may still say: a bare request has none of it. */
const SAID = /^context\.(?:command|reason|ticket|labels|ttl)\b/
/** What they could get in addition. */
const HAD = /^context\.(?:approvals|approvalsByTwo|approvers|authentication)\b/

/** Which policies read what a request says, once for each set. */
const readers = new WeakMap<PolicySet, readonly ParsedPolicy[]>()

/**
 * Whether a bare request that is denied might be permitted once it says more: a command, reason, ticket,
 * label or duration that policies ask for. Nothing is promised: what they would have to be isn't looked at.
 */
export function hasLeeway(question: TaskQuestion, denial: Denial, policies: PolicySet): boolean {
  const reading = readersOf(policies)
  if (reading.length === 0 || denial.because === 'error') return false
  const call = taskCall(question, policies.vocabulary)
  if (denial.because === 'forbidden') {
    const forbidding = policies.policies.filter(({ id }) => denial.policies.includes(id))
    if (!forbidding.every(isOpen)) return false
    return (
      forbidding.some(({ id }) => reading.some((one) => one.id === id)) || yields(reading, call)
    )
  }
  return yields(reading, call)
}

/** Whether some permit lacks nothing but what may still be said or had. */
function yields(reading: readonly ParsedPolicy[], call: PreparedCall): boolean {
  return reading
    .filter(({ json }) => json.effect === 'permit')
    .some(({ json }) => {
      const unmet = unmetOf(clausesOf(json), call).map(({ policy }) => attributesOfPolicy(policy))
      return unmet.every((read) => some(read, SAID) || some(read, HAD)) && unmet.length > 0
    })
}

const isOpen = ({ json }: ParsedPolicy) => {
  const read = attributesOfPolicy(json)
  return some(read, SAID) || some(read, HAD)
}

function readersOf(policies: PolicySet): readonly ParsedPolicy[] {
  const known = readers.get(policies)
  if (known) return known
  const found = policies.policies.filter(
    ({ on, json }) => on === 'tasks' && some(attributesOfPolicy(json), SAID),
  )
  readers.set(policies, found)
  return found
}

const some = (paths: ReadonlySet<string>, pattern: RegExp) =>
  [...paths].some((path) => pattern.test(path))
