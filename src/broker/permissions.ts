import type { GrantContext } from '../protocol/grant.ts'
import type { Principal } from '../protocol/principal.ts'
import { authenticationOf } from './decider.ts'
import { type LedgerGrant, principalOf } from './ledger/rows.ts'
import type { Policies } from './policies.ts'
import type { Session, SignedContext } from './sessions.ts'
import type { GrantRow } from './store/schema.ts'
import type { Store } from './store/store.ts'

interface Parts {
  readonly policies: Policies
  readonly store: Store
}

/**
 * Whether it is a principal's own grant, or that of a copilot of theirs. Runs of one repository are
 * one principal, and whoever may push a branch has one: own is what the same code was given.
 */
export function isOwn({ principal, signed }: Session, { row }: LedgerGrant): boolean {
  if (row.principal_id === principal.id) {
    return row.principal_kind === principal.kind && isOfCode(row, signed)
  }
  return principal.kind === 'human' && principalOf(row).owner === principal.id
}

function isOfCode({ context }: GrantRow, signed: SignedContext): boolean {
  const { repository, branch, commit } = JSON.parse(context) as GrantContext
  return repository === signed.repository && branch === signed.branch && commit === signed.commit
}

/** Whether somebody may see or end a grant: one's own always, one's copilots' too, others' as policy says. */
export function mayDo(
  session: Session,
  { action, grant }: { action: 'view' | 'revoke'; grant: LedgerGrant },
  { policies, store }: Parts,
): boolean {
  if (isOwn(session, grant)) return true
  const { id, environment, task, tier } = grant.row
  const { effect } = policies.current.decideOn({
    principal: session.principal,
    action,
    grant: { id, principal: principalOf(grant.row), environment, task, tier },
    context: { authentication: authenticationOf(session), now: store.now() },
  })
  return effect === 'permit'
}

/**
 * Whether somebody may end another's access: a person's own and their copilots' always, others' as
 * policy says. A copilot or a run by itself may not: others go by the same name.
 */
export function mayOffboard(
  session: Session,
  whom: Principal,
  { policies, store }: Parts,
): boolean {
  const { principal } = session
  if (principal.kind === 'human' && [whom.id, whom.owner].includes(principal.id)) return true
  const { effect } = policies.current.decideOn({
    principal,
    action: 'offboard',
    whom,
    context: { authentication: authenticationOf(session), now: store.now() },
  })
  return effect === 'permit'
}

/** Whether somebody may read the audit log. */
export function mayAudit(session: Session, { policies, store }: Parts): boolean {
  const { effect } = policies.current.decideOn({
    principal: session.principal,
    action: 'audit',
    context: { authentication: authenticationOf(session), now: store.now() },
  })
  return effect === 'permit'
}
