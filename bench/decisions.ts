import { performance } from 'node:perf_hooks'
import { preparsePolicySet, statefulIsAuthorized } from '@cedar-policy/cedar-wasm/nodejs'
import { parsePolicies } from '../src/policy/load.ts'
import { taskCall } from '../src/policy/request.ts'
import { context, question, vocabulary } from '../test/policy/fixtures.ts'
import { median } from './statistics.ts'

const asked = question({ context: { ...context, approvals: ['platform-oncall'] } })

/** Policies as a large team has them: one a repository, and one of them permits. */
function policies(count: number): string[] {
  return Array.from({ length: count }, (_, at) => {
    const repository = at === 0 ? context.claimed.repository : `github.com/acme/service-${at}`
    return `@id("service-${at}")
permit (principal is Human, action == Action::"deploy", resource in Environment::"prod")
when { principal in Group::"shop-devs" && context.claimed.repository == "${repository}" };`
  })
}

/** @returns milliseconds of one decision, and of Cedar alone with the same policies and question */
export function timeDecisions(
  count: number,
  milliseconds: number,
): { measured: number; floor: number } {
  const texts = policies(count)
  const set = parsePolicies([{ name: 'bench.cedar', content: texts.join('\n') }], vocabulary)
  const call = { ...taskCall(asked, vocabulary), preparsedPolicySetId: 'bench' }
  const staticPolicies = Object.fromEntries(texts.map((text, at) => [`service-${at}`, text]))
  preparsePolicySet(call.preparsedPolicySetId, { staticPolicies })
  const decisions = { ours: [] as number[], cedars: [] as number[] }
  const end = performance.now() + milliseconds
  while (performance.now() < end) {
    decisions.ours.push(timeOf(() => set.decide(asked).effect === 'permit'))
    decisions.cedars.push(
      timeOf(() => {
        const answer = statefulIsAuthorized(call)
        return answer.type === 'success' && answer.response.decision === 'allow'
      }),
    )
  }
  return { measured: median(decisions.ours), floor: median(decisions.cedars) }
}

function timeOf(decide: () => boolean): number {
  const began = performance.now()
  const permitted = decide()
  const time = performance.now() - began
  if (!permitted) throw new Error('it was denied')
  return time
}
