import type { PolicyFile } from '../policy/load.ts'

/**
 * The policies of the development control plane. They want the groups `platform-oncall` (listed in
 * `approvers:` too) and `jit-admins`, the environments `dev`, `staging` and `prod` (tiers
 * `development`, `staging`, `production`) and the tasks `plan`, `deploy`, `migrate`.
 */
export const DEV_POLICIES: readonly PolicyFile[] = [
  {
    name: 'tasks.cedar',
    content: `// Who may do what. A copilot gets a permit only where its person would get one as well.
// A pipeline gets policies of its own.

@id("anyone-below-production")
@description("everyone may plan, deploy and migrate in dev and staging")
permit (
  principal is Human,
  action in [Action::"plan", Action::"deploy", Action::"migrate"],
  resource
)
when { resource.tier == "development" || resource.tier == "staging" };

@id("anyone-in-production")
@description("everyone may ask for production: production.cedar says what it takes")
@accept("unguarded-production")
permit (
  principal is Human,
  action in [Action::"plan", Action::"deploy", Action::"migrate"],
  resource in Environment::"prod"
);

// A database a copilot uses through a proxy, without ever holding its password. Behind the sample APIs is
// nothing that a proxy could speak to: their tokens it is given.
@id("copilots-do-what-their-people-may")
@description("a copilot may ask for what its person may, and gets tokens in its environment, nothing else")
permit (
  principal is Agent,
  action in [Action::"plan", Action::"deploy", Action::"migrate"],
  resource
)
when { context.delivery == "proxy" || resource.type == "token" };
`,
  },
  {
    name: 'production.cedar',
    content: `// What holds in production, whoever asks and whatever else permits.

@id("production-needs-oncall")
@description("changing production needs the approval of platform-oncall")
forbid (
  principal,
  action in [Action::"deploy", Action::"migrate"],
  resource
)
when { resource.tier == "production" }
unless {
  context.approvals.contains(Group::"platform-oncall") ||
  // In an emergency those on call don't wait for each other; "break-glass-is-for-oncall" has the rest.
  (context.breakGlass && principal is Human && principal in Group::"platform-oncall")
};

@id("production-plan-needs-a-reason")
@description("planning against production needs a reason: --reason")
forbid (principal, action == Action::"plan", resource)
when { resource.tier == "production" && context.reason == "" };

@id("copilots-need-another-person")
@description("a copilot in production needs the approval of a person other than its own")
forbid (principal is Agent, action, resource)
when { resource.tier == "production" }
// Nobody approved, or nobody but the copilot's person.
unless { !([principal.owner].containsAll(context.approvers)) };

@id("break-glass-is-for-oncall")
@description("--break-glass is for people of platform-oncall, in production, with a reason")
forbid (principal, action, resource)
when { context.breakGlass }
unless {
  principal is Human &&
  principal in Group::"platform-oncall" &&
  resource.tier == "production" &&
  context.reason != ""
};
`,
  },
  {
    name: 'broker.cedar',
    content: `// What people may do with the broker itself. Their own grants they always see and revoke, and never
// approve.

@id("oncall-approves")
permit (
  principal is Human in Group::"platform-oncall",
  action == Action::"approve",
  resource
);

@id("admins-see-and-revoke-all")
permit (
  principal in Group::"jit-admins",
  action in [Action::"view", Action::"revoke", Action::"offboard"],
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
  {
    name: 'sandboxes.cedar',
    content: `// What may be reached from inside \`jit sandbox\`, of the domains that its profile names.

@id("copilots-reach-their-tools")
@description("from a sandbox a copilot reaches its model, the forge, package registries and example.com")
permit (principal is Agent, action == Action::"reach", resource)
when {
  resource in [
    Domain::"anthropic.com",
    Domain::"openai.com",
    Domain::"github.com",
    Domain::"npmjs.org",
    Domain::"pypi.org",
    Domain::"pythonhosted.org",
    Domain::"example.com"
  ]
};
`,
  },
]
