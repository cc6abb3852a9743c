import { parsePolicies } from '../src/policy/load.ts'
import type { TaskQuestion } from '../src/policy/request.ts'
import type { Vocabulary } from '../src/policy/vocabulary.ts'
import type { Figure } from './figure.ts'
import { median } from './statistics.ts'

const vocabulary: Vocabulary = {
  groups: ['shop-devs'],
  environments: { prod: { tier: 'production' } },
  tasks: ['deploy'],
  targets: { 'shop-db': { environment: 'prod', sensitivity: 'confidential', type: 'postgres' } },
  labels: {},
}

const question: TaskQuestion = {
  principal: { kind: 'human', id: 'idp/1', name: 'dana', groups: ['shop-devs'] },
  task: 'deploy',
  target: 'shop-db',
  context: {
    signed: { repository: '', branch: '', commit: '' },
    claimed: { repository: 'github.com/acme/shop', branch: 'main', commit: 'c0ffee', dirty: false },
    command: { argv: ['terraform', 'apply'], directory: '/src', executable: '/usr/bin/terraform' },
    reason: 'a release',
    ticket: '',
    labels: {},
    ttl: 900,
    delivery: 'env',
    authentication: { acr: '', amr: [], at: 0 },
    now: 0,
  },
}

/** One decision among 10, 100 and 1,000 policies, of which the last one permits. */
export function decisionFigures(): Figure[] {
  const floor = medianOf(1)
  return [10, 100, 1000].map((size) => ({
    what: `a decision, ${size} policies, p50`,
    unit: 'ms',
    measured: medianOf(size),
    floor,
    floorIs: 'the same, 1 policy',
  }))
}

const WARM_UP = 100
const ROUNDS = 1000

/** Milliseconds. */
function medianOf(size: number): number {
  const policies = parsePolicies([{ name: 'bench.cedar', content: policyTexts(size) }], vocabulary)
  const taken: number[] = []
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    const start = performance.now()
    const { effect } = policies.decide(question)
    const elapsed = performance.now() - start
    if (effect !== 'permit') throw new Error('the last policy permits')
    if (round >= WARM_UP) taken.push(elapsed)
  }
  return median(taken)
}

function policyTexts(size: number): string {
  const repositories = Array.from({ length: size }, (_, index) =>
    index === size - 1 ? 'shop' : `other-${index}`,
  )
  return repositories
    .map(
      (name, index) => `@id("p${index}")
permit (principal in Group::"shop-devs", action == Action::"deploy", resource in Environment::"prod")
when { context.claimed.repository == "github.com/acme/${name}" };`,
    )
    .join('\n')
}
