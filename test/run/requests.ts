import type { Approval, ApprovalRequest } from '../../src/protocol/approval.ts'
import type { Grant, GrantContext } from '../../src/protocol/grant.ts'

export const HASH = 'ab'.repeat(32)

export function approvalBy(name: string): Approval {
  return {
    approver: { id: `idp/${name}`, name },
    groups: ['platform-oncall'],
    method: 'session',
    at: new Date().toISOString(),
  }
}

export function grantContext(changes: Partial<GrantContext> = {}): GrantContext {
  return {
    repository: '',
    branch: '',
    commit: '',
    claimed: {
      repository: 'github.com/acme/shop',
      branch: 'main',
      commit: '9fceb02d0ae598e95dc970b74767f19372d61af8',
      dirty: false,
    },
    command: { argv: ['terraform', 'apply'], directory: '/home/dev/shop', executable: '/bin/tf' },
    reason: 'release 41',
    break_glass: false,
    ticket: '',
    labels: {},
    ...changes,
  }
}

/** A request that waits for `platform-oncall`, as an approver gets it. */
export function approvalRequest(
  grant: string,
  changes: { context?: Partial<GrantContext>; request?: Partial<ApprovalRequest> } = {},
): ApprovalRequest {
  return {
    subject: {
      grant,
      principal: { kind: 'human', id: 'idp/1', name: 'dev' },
      environment: 'prod',
      tier: 'production',
      task: 'deploy',
      targets: [
        {
          name: 'shop-db',
          type: 'postgres',
          sensitivity: 'confidential',
          rights: ['migrator'],
          delivery: 'env',
        },
      ],
      ttl: 900,
      context: grantContext(changes.context),
      requested_at: new Date().toISOString(),
    },
    hash: HASH,
    state: 'pending',
    obligation: { approvals: [{ group: 'platform-oncall', people: 1 }] },
    policies: [{ id: 'production-needs-oncall', description: 'somebody on call approves' }],
    approvals: [],
    lapses_at: new Date(Date.now() + 1_800_000).toISOString(),
    ...changes.request,
  }
}

/** A request that waits, as its requester gets it. */
export function pendingGrant(id: string, changes: Partial<Grant> = {}): Grant {
  return {
    id,
    state: 'pending',
    principal: { kind: 'human', id: 'idp/1', name: 'dev', groups: [] },
    environment: 'prod',
    tier: 'production',
    task: 'deploy',
    context: grantContext(),
    requested_at: new Date().toISOString(),
    targets: ['shop-db'],
    obligation: { approvals: [{ group: 'platform-oncall', people: 1 }] },
    lapses_at: new Date(Date.now() + 1_800_000).toISOString(),
    leases: [],
    ...changes,
  }
}
