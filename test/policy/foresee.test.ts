import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inventoryOf } from '../../src/broker/config/config.ts'
import { loadConfig } from '../../src/broker/config/load.ts'
import { loadCases } from '../../src/policy/cases.ts'
import { clausesOf, unmetOf } from '../../src/policy/clauses.ts'
import type { Facts } from '../../src/policy/facts.ts'
import { foresee } from '../../src/policy/foresee.ts'
import { loadPolicies } from '../../src/policy/load.ts'
import type { PreparedCall } from '../../src/policy/prepared.ts'
import type { TaskQuestion } from '../../src/policy/question.ts'
import { taskCall } from '../../src/policy/request.ts'
import { ruleOn } from '../../src/policy/ruling.ts'
import type { Vocabulary } from '../../src/policy/vocabulary.ts'
import { targetKinds } from '../../src/targets/kinds.ts'
import { policySet } from './fixtures.ts'

const examples = join(import.meta.dirname, '../../examples/policies')

const KINDS = { human: 'Human', agent: 'Agent', pipeline: 'Pipeline' } as const

/** Who, what and where; of the rest nothing, or all that the call says. */
function factsOf(
  { principal, task, target }: TaskQuestion,
  { vocabulary, call }: { vocabulary: Vocabulary; call?: PreparedCall },
): Facts {
  const { environment = '', sensitivity = '', type = '' } = vocabulary.targets[target] ?? {}
  const tier = vocabulary.environments[environment]?.tier ?? ''
  return {
    principal: KINDS[principal.kind],
    action: task,
    target: { id: target, environment, attributes: { tier, sensitivity, type } },
    inGroup: call ? (group) => principal.groups.includes(group) : () => undefined,
    isNamed: undefined,
    context: (path) =>
      path
        .split('.')
        .reduce<unknown>(
          (value, name) => (value as Record<string, unknown> | undefined)?.[name],
          call?.context,
        ),
  }
}

describe.each(['broker.yaml', 'model-operations/broker.yaml'])(
  'what is foreseen of the policies of examples/policies/%s',
  (name) => {
    it('is what Cedar says, in every case where something is foreseen', async () => {
      const config = await loadConfig(join(examples, name), targetKinds)
      const inventory = inventoryOf(config)
      const policies = await loadPolicies(config.policies, inventory)
      const cases = await loadCases(config.policies, { inventory, policies })
      const questions = cases
        .flatMap(({ stated }) => ruleOn(stated, policies).answers)
        .flatMap(({ question }) => ('task' in question ? [question] : []))
      const seen = { blind: 0, told: 0 }
      for (const question of questions) {
        const call = taskCall(question, inventory)
        for (const { on, json, id } of policies.policies) {
          if (on !== 'tasks') continue
          const applies = unmetOf(clausesOf(json), call).length === 0
          const blind = foresee(json, factsOf(question, { vocabulary: inventory }))
          if (blind !== undefined) expect([id, blind]).toEqual([id, applies])
          const told = foresee(json, factsOf(question, { vocabulary: inventory, call }))
          if (told !== undefined) expect([id, told]).toEqual([id, applies])
          if (blind !== undefined) seen.blind++
          if (told !== undefined) seen.told++
        }
      }
      expect(seen.blind).toBeGreaterThan(500)
      expect(seen.told).toBeGreaterThan(seen.blind)
    })
  },
)

describe('what is foreseen of a condition', () => {
  const facts: Facts = {
    principal: 'Agent',
    action: 'deploy',
    target: {
      id: 'shop-db',
      environment: 'prod',
      attributes: { tier: 'production', sensitivity: 'confidential', type: 'postgres' },
    },
    inGroup: (group) => (group === 'shop-devs' ? true : undefined),
    isNamed: false,
    context: (path) => ({ ttl: 900, approvals: [], approvers: [], 'claimed.dirty': false })[path],
  }
  const foreseen = (condition: string) => {
    const [policy] = policySet(
      `@id("p") permit (principal, action, resource) when { ${condition} };`,
    ).policies
    return policy && foresee(policy.json, facts)
  }

  it.each([
    ['principal is Agent && principal.owner in Group::"shop-devs"', true],
    ['principal in Group::"shop-devs" || context.claimed.dirty', false],
    ['principal is Agent && principal.owner in Group::"jit-admins"', undefined],
    ['principal is Agent && ![principal.owner].containsAll(context.approvers)', false],
    ['principal is Agent && principal.owner == Human::"x"', false],
    ['action == Action::"deploy" && resource in Environment::"prod"', true],
    ['action in [Action::"plan", Action::"deploy"]', true],
    ['resource == Target::"dev-db" || context.claimed.dirty', false],
    ['context.ttl <= 900 && context.ttl < 901 && context.ttl > 1 && context.ttl >= 900', true],
    ['context.ttl + 1 == 901', undefined],
    ['context.reason == "x"', undefined],
    ['context.reason != "" && context.claimed.dirty', false],
    ['context.approvals.isEmpty() && !context.claimed.dirty', true],
    ['context.approvals.containsAny([Group::"shop-devs"]) || context.ttl == 900', true],
    ['["a", resource.tier].containsAll(["production"])', true],
    ['[context.reason].contains("x")', undefined],
    ['[context.reason, "x"].contains("x")', true],
    ['["x"].contains(context.reason)', undefined],
    ['if resource.tier == "production" then context.ttl == 900 else false', true],
    ['if context.reason == "" then true else false', undefined],
    ['principal is Agent', true],
    ['context.labels has model', undefined],
  ])('%s is %s', (condition, expected) => {
    expect(foreseen(condition)).toBe(expected)
  })
})
