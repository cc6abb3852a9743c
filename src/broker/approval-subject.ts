import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { toTimestamp } from '../lib/clock.ts'
import type { ApprovalSubject } from '../protocol/approval.ts'
import type { GrantContext } from '../protocol/grant.ts'
import type { Principal } from '../protocol/principal.ts'
import { deliveryOf } from './deliveries.ts'
import type { ResolvedRequest } from './requests.ts'
import type { GrantRow } from './store/schema.ts'

/** What an approver is shown of a request: by today's configuration, roles included. */
export function subjectOf(row: GrantRow, request: ResolvedRequest): ApprovalSubject {
  const { groups: _, ...principal } = JSON.parse(row.asked_by) as Principal
  return {
    grant: row.id,
    principal,
    environment: row.environment,
    tier: request.tier,
    task: row.task,
    targets: request.members.map(({ target, config }) => ({
      name: target.name,
      type: target.type,
      sensitivity: config.sensitivity,
      rights: [...target.rights(row.task)],
      delivery: deliveryOf(request, target.name),
    })),
    ttl: row.ttl_seconds,
    context: request.context,
    requested_at: toTimestamp(row.requested_at),
  }
}

/**
 * A grant's request as its approvers were shown it, while its command stands where they were told: a
 * commit on the same branch since takes no approval back. Another branch or repository nobody approved.
 */
export function asShown(row: GrantRow, request: ResolvedRequest): ResolvedRequest {
  const { claimed } = JSON.parse(row.context) as GrantContext
  const { repository, branch } = request.context.claimed
  const stands = claimed.repository === repository && claimed.branch === branch && branch !== ''
  return stands ? { ...request, context: { ...request.context, claimed } } : request
}

/** What an approval is bound to: SHA-256 (hex) over the canonical JSON (RFC 8785) of exactly what was shown. */
export function hashOfSubject(subject: ApprovalSubject): string {
  return createHash('sha256')
    .update(String(canonicalize(subject)))
    .digest('hex')
}
