import type { PolicySet } from '../../src/policy/decide.ts'
import { parsePolicies } from '../../src/policy/load.ts'
import type { RequestContext, TaskQuestion } from '../../src/policy/question.ts'
import type { Vocabulary } from '../../src/policy/vocabulary.ts'
import type { Principal } from '../../src/protocol/principal.ts'

export const vocabulary: Vocabulary = {
  groups: ['shop-devs', 'platform-oncall', 'jit-admins'],
  approvers: ['platform-oncall'],
  acr: [],
  environments: { dev: { tier: 'development' }, prod: { tier: 'production' } },
  tasks: ['plan', 'deploy'],
  targets: {
    'dev-db': { environment: 'dev', sensitivity: 'internal', type: 'postgres' },
    'shop-db': { environment: 'prod', sensitivity: 'confidential', type: 'postgres' },
  },
  labels: { model: 'string', gpus: 'long', nightly: 'bool' },
}

export const human: Principal = {
  kind: 'human',
  id: 'idp.acme.dev/123',
  name: 'dana@acme.dev',
  groups: ['shop-devs', 'all-staff'],
}

export const agent: Principal = {
  kind: 'agent',
  id: 'idp.acme.dev/123/copilot',
  name: 'copilot',
  groups: ['shop-devs'],
  owner: human.id,
}

export const context: RequestContext = {
  signed: { repository: '', branch: '', commit: '' },
  claimed: { repository: 'github.com/acme/shop', branch: 'main', commit: 'c0ffee', dirty: false },
  command: {
    argv: ['/usr/bin/terraform', 'apply'],
    directory: '/src',
    executable: '/usr/bin/terraform',
  },
  reason: '',
  breakGlass: false,
  ticket: '',
  labels: {},
  ttl: 900,
  delivery: 'env',
  authentication: { acr: '', amr: ['pwd'], at: Date.UTC(2026, 0, 5, 9, 0, 0) },
  // A Monday.
  now: Date.UTC(2026, 0, 5, 9, 30, 0),
}

export const policySet = (...texts: string[]): PolicySet =>
  parsePolicies([{ name: 'a.cedar', content: texts.join('\n') }], vocabulary)

/** dana's deploy to production, changed as given. */
export const question = (change: Partial<TaskQuestion> = {}): TaskQuestion => ({
  principal: human,
  task: 'deploy',
  target: 'shop-db',
  context,
  ...change,
})

/** The two policies of the design's example. */
export const EXAMPLE = `@id("shop-deploy")
permit (principal is Human, action == Action::"deploy", resource in Environment::"prod")
when { principal in Group::"shop-devs" && context.claimed.repository == "github.com/acme/shop" };

@id("production-needs-oncall")
@description("production needs the approval of platform-oncall")
forbid (principal, action, resource)
when { resource.tier == "production" }
unless { context.approvals.contains(Group::"platform-oncall") };
`
