import type { GrantState, LeaseState } from '../protocol/grant.ts'

export type GrantEvent = 'deny' | 'refuse' | 'activate' | 'end' | 'settle'
export type LeaseEvent = 'confirm' | 'revoke' | 'settle'

const GRANT: Readonly<Record<GrantState, Partial<Record<GrantEvent, GrantState>>>> = {
  requested: { deny: 'denied', refuse: 'refused', activate: 'active' },
  denied: {},
  refused: {},
  active: { end: 'revoking' },
  revoking: { settle: 'revoked' },
  revoked: {},
}

const LEASE: Readonly<Record<LeaseState, Partial<Record<LeaseEvent, LeaseState>>>> = {
  intent: { confirm: 'active', revoke: 'revoking' },
  active: { revoke: 'revoking' },
  revoking: { settle: 'revoked' },
  revoked: {},
}

/** Where an event takes a grant; `undefined` where it has no place. */
export function nextGrantState(state: GrantState, event: GrantEvent): GrantState | undefined {
  return GRANT[state][event]
}

/** The states an event may find a grant in: for compare-and-set. */
export function grantStatesBefore(event: GrantEvent): readonly GrantState[] {
  return (Object.keys(GRANT) as GrantState[]).filter((state) => GRANT[state][event] !== undefined)
}

/** The states an event may find a lease in: for compare-and-set. */
export function leaseStatesBefore(event: LeaseEvent): readonly LeaseState[] {
  return (Object.keys(LEASE) as LeaseState[]).filter((state) => LEASE[state][event] !== undefined)
}

/** Grants that hold, or may come to hold, a credential. */
export const LIVE_GRANT_STATES = ['requested', 'active', 'revoking'] as const satisfies GrantState[]
