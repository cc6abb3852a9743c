import { parsePolicies } from '../src/policy/load.ts'
import type { TaskQuestion } from '../src/policy/question.ts'
import type { Vocabulary } from '../src/policy/vocabulary.ts'
import { context } from '../test/policy/fixtures.ts'

const APPROVERS = ['platform-oncall', 'security', 'data-owners', 'sre']
const POLICIES_A_TEAM = 10

/** What one team writes of its own service: seven permits, and three forbids that approvals or a sign-in turn. */
const policiesOf = (team: string) => `
@id("${team}-below-production")
permit (principal in Group::"${team}", action in [Action::"plan", Action::"deploy", Action::"migrate", Action::"query"], resource == Target::"${team}-dev-db");
@id("${team}-plans")
permit (principal in Group::"${team}", action == Action::"plan", resource == Target::"${team}-db") when { context.ttl <= 1800 };
@id("${team}-deploys")
permit (principal in Group::"${team}", action == Action::"deploy", resource in Environment::"prod")
when { context.claimed.repository == "github.com/acme/${team}" && context.claimed.branch == "main" && !context.claimed.dirty };
@id("${team}-migrates")
permit (principal in Group::"${team}", action == Action::"migrate", resource == Target::"${team}-db") when { context.claimed.repository == "github.com/acme/${team}" };
@id("${team}-queries")
permit (principal in Group::"${team}", action == Action::"query", resource == Target::"${team}-db") when { context.labels has rows && context.labels.rows <= 10000 };
@id("${team}-copilots")
permit (principal is Agent, action in [Action::"plan", Action::"query"], resource == Target::"${team}-dev-db") when { principal.owner in Group::"${team}" };
@id("${team}-pipelines")
permit (principal is Pipeline, action == Action::"deploy", resource == Target::"${team}-db") when { context.repository == "github.com/acme/${team}" && context.branch == "main" };
@id("${team}-changes-need-oncall")
forbid (principal, action in [Action::"deploy", Action::"migrate"], resource == Target::"${team}-db") unless { context.approvals.contains(Group::"platform-oncall") };
@id("${team}-migrations-need-two")
forbid (principal, action == Action::"migrate", resource == Target::"${team}-db") unless { context.approvalsByTwo.contains(Group::"platform-oncall") };
@id("${team}-is-fresh")
forbid (principal, action, resource == Target::"${team}-db") when { context.authentication.age > 28800 };
`

/** So many policies, ten a team, over the teams' own databases; four groups that may approve and one `acr`. */
export function teams(policies: number) {
  const names = Array.from({ length: policies / POLICIES_A_TEAM }, (_, at) => `team-${at}`)
  const database = { sensitivity: 'internal', type: 'postgres' } as const
  const vocabulary: Vocabulary = {
    groups: [...names, ...APPROVERS],
    approvers: APPROVERS,
    acr: ['mfa'],
    environments: { dev: { tier: 'development' }, prod: { tier: 'production' } },
    tasks: ['plan', 'deploy', 'migrate', 'query'],
    targets: Object.fromEntries(
      names.flatMap((team) => [
        [`${team}-db`, { environment: 'prod', ...database }] as const,
        [`${team}-dev-db`, { environment: 'dev', ...database }] as const,
      ]),
    ),
    labels: { rows: 'long' },
  }
  const content = names.map(policiesOf).join('')
  return { vocabulary, set: parsePolicies([{ name: 'teams.cedar', content }], vocabulary) }
}

/** A developer of the first team, whose sign-in is too old, in its repository. */
export const migration: TaskQuestion = {
  principal: { kind: 'human', id: 'idp.acme.dev/1', name: 'dana@acme.dev', groups: ['team-0'] },
  task: 'migrate',
  target: 'team-0-db',
  context: {
    ...context,
    claimed: { ...context.claimed, repository: 'github.com/acme/team-0' },
    authentication: { ...context.authentication, at: undefined },
  },
}
