import type { Principal } from '../protocol/principal.ts'
import { authenticationOf } from './decider.ts'
import { type LedgerGrant, principalOf } from './ledger/rows.ts'
import type { Policies } from './policies.ts'
import type { Session } from './sessions.ts'
import type { Store } from './store/store.ts'

interface Parts {
  readonly policies: Policies
  readonly store: Store
}

/** Whether it is a principal's own grant, or that of a copilot of theirs. */
export function isOwn({ principal }: Session, { row }: LedgerGrant): boolean {
  if (row.principal_id === principal.id) return row.principal_kind === principal.kind
  return principal.kind === 'human' && principalOf(row).owner === principal.id
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

/** Whether somebody may end another's access: one's own and one's copilots' always, others' as policy says. */
export function mayOffboard(
  session: Session,
  whom: Principal,
  { policies, store }: Parts,
): boolean {
  const { principal } = session
  if (whom.id === principal.id && whom.kind === principal.kind) return true
  if (principal.kind === 'human' && whom.owner === principal.id) return true
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
