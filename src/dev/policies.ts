import type { PolicyFile } from '../policy/load.ts'

/**
 * The policies of the development control plane. They want the groups `platform-oncall` and
 * `jit-admins`, the environments `dev`, `staging` and `prod` (tiers `development`, `staging`,
 * `production`) and the tasks `plan`, `deploy`, `migrate`.
 */
export const DEV_POLICIES: readonly PolicyFile[] = [
  {
    name: 'tasks.cedar',
    content: `// Who may do what. People only: a copilot or a pipeline gets policies of its own.

@id("anyone-below-production")
@description("everyone may plan, deploy and migrate in dev and staging")
permit (
  principal is Human,
  action in [Action::"plan", Action::"deploy", Action::"migrate"],
  resource
)
when { resource.tier == "development" || resource.tier == "staging" };

@id("anyone-in-production")
@description("everyone may ask for production")
permit (
  principal is Human,
  action in [Action::"plan", Action::"deploy", Action::"migrate"],
  resource in Environment::"prod"
);

@id("production-needs-oncall")
@description("production needs the approval of platform-oncall")
forbid (principal, action, resource)
when { resource.tier == "production" }
unless { context.approvals.contains(Group::"platform-oncall") };
`,
  },
  {
    name: 'broker.cedar',
    content: `// What people may do with the broker itself. Their own grants they always see and revoke.

@id("admins-see-and-revoke-all")
permit (
  principal in Group::"jit-admins",
  action in [Action::"view", Action::"revoke"],
  resource
);

@id("admins-read-the-audit-log")
permit (
  principal in Group::"jit-admins",
  action == Action::"audit",
  resource
);
`,
  },
]
