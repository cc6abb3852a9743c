import type { GrantState, LeaseState } from '../protocol/grant.ts'

/** From which states an event may take a grant or lease, and where to. */
interface Transition<State> {
  readonly from: readonly State[]
  readonly to: State
}

/** A grant: asked for, perhaps waiting, live, over. A denied request never gets this far. */
export const GRANT = {
  /** Something is wanted first, or wanted again. */
  want: { from: ['pending', 'approved'], to: 'pending' },
  /** The last approval that was wanted: it may be used now. */
  approve: { from: ['pending'], to: 'approved' },
  /** It is about to be minted, once. */
  take: { from: ['pending', 'approved'], to: 'requested' },
  /** Withdrawn, turned down, lapsed, or not to be minted. */
  refuse: { from: ['pending', 'approved', 'requested'], to: 'refused' },
  /** Again, too: credentials that never arrived were replaced. */
  activate: { from: ['requested', 'active'], to: 'active' },
  end: { from: ['active'], to: 'revoking' },
  settle: { from: ['revoking'], to: 'revoked' },
} as const satisfies Record<string, Transition<GrantState>>

/** A lease: intended before its credential exists, and not over before its target confirms. */
export const LEASE = {
  confirm: { from: ['intent'], to: 'active' },
  revoke: { from: ['intent', 'active'], to: 'revoking' },
  settle: { from: ['revoking'], to: 'revoked' },
} as const satisfies Record<string, Transition<LeaseState>>

/** Requests that wait for what policy wants first. */
export const WAITING_STATES = ['pending', 'approved'] as const satisfies GrantState[]

/** Grants that were minted, whatever became of them. */
export const GRANTED_STATES = ['active', 'revoking', 'revoked'] as const satisfies GrantState[]

/** Grants that hold, or may come to hold, a credential. */
export const LIVE_GRANT_STATES = ['requested', 'active', 'revoking'] as const satisfies GrantState[]

/** Where an event takes a grant; `undefined` where it has no place. */
export function nextGrantState(
  state: GrantState,
  event: keyof typeof GRANT,
): GrantState | undefined {
  const { from, to }: Transition<GrantState> = GRANT[event]
  return from.includes(state) ? to : undefined
}

/** Where an event takes a lease; `undefined` where it has no place. */
export function nextLeaseState(
  state: LeaseState,
  event: keyof typeof LEASE,
): LeaseState | undefined {
  const { from, to }: Transition<LeaseState> = LEASE[event]
  return from.includes(state) ? to : undefined
}
