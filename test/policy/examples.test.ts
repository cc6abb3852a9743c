import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inventoryOf } from '../../src/broker/config/config.ts'
import { loadConfig } from '../../src/broker/config/load.ts'
import { runCase } from '../../src/policy/case-run.ts'
import { loadCases, readCases } from '../../src/policy/cases.ts'
import { coverageOf } from '../../src/policy/coverage.ts'
import { lint } from '../../src/policy/lint.ts'
import { loadPolicies, parsePolicies } from '../../src/policy/load.ts'
import type { ParsedPolicy } from '../../src/policy/parsed.ts'
import { targetKinds } from '../../src/targets/kinds.ts'
import { allPages, blocksOf, page } from '../docs/pages.ts'

const examples = join(import.meta.dirname, '../../examples/policies')
const configs = ['broker.yaml', 'model-operations/broker.yaml']

async function load(name: string) {
  const config = await loadConfig(join(examples, name), targetKinds)
  const inventory = inventoryOf(config)
  const policies = await loadPolicies(config.policies, inventory)
  return { inventory, policies, cases: await loadCases(config.policies, { inventory, policies }) }
}

/** A set of these alone, each in a file of its own. */
const setOf = (policies: readonly ParsedPolicy[], inventory: Parameters<typeof parsePolicies>[1]) =>
  parsePolicies(
    policies.map(({ id, source }) => ({ name: `${id}.cedar`, content: source.text })),
    inventory,
  )

describe.each(configs)('the policies of examples/policies/%s', (name) => {
  it('decide every case as it expects, and each of them decides in some case', async () => {
    const { policies, cases } = await load(name)
    const results = cases.map((one) => runCase(one, policies))
    expect(results.filter(({ problems }) => problems.length > 0)).toEqual([])
    expect(coverageOf(results, policies)).toMatchObject({ percent: 100, uncovered: [] })
  })

  it('leave nothing to warn of', async () => {
    const { policies, inventory } = await load(name)
    expect(lint(policies, inventory)).toEqual([])
  })

  it('are all needed: without any of them some case comes otherwise', {
    timeout: 60_000,
  }, async () => {
    const { policies, inventory, cases } = await load(name)
    const idle = policies.policies.filter((policy) => {
      const others = policies.policies.filter(({ id }) => id !== policy.id)
      const rest = setOf(others, inventory)
      return cases.every((one) => runCase(one, rest).problems.length === 0)
    })
    expect(idle.map(({ id }) => id)).toEqual([])
  })
})

describe('the docs', async () => {
  const { inventory, policies, cases } = await load('broker.yaml')
  const shown = allPages().flatMap((found) =>
    blocksOf(found)
      .filter(({ info }) => info === 'yaml cases')
      .map(({ text, line }) => ({ text, where: `${found.path}:${line}` })),
  )

  it.each(shown)('$where are cases that come as they expect', ({ text, where }) => {
    const results = readCases(text, where, { inventory, policies }).map((one) =>
      runCase(one, policies),
    )
    expect(results.flatMap(({ problems }) => problems)).toEqual([])
  })

  it('say how many policies and cases there are', () => {
    const { text } = page('docs/policies.md')
    expect(text).toContain(`${policies.size} policies in seven files`)
    expect(text).toContain(`${cases.length} cases, as expected; ${policies.size} of`)
  })
})
