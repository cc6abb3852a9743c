import { expect, test } from 'vitest'
import { GRANT, LEASE, nextGrantState, nextLeaseState } from '../../src/broker/grant-state.ts'
import { GrantState, LeaseState } from '../../src/protocol/grant.ts'

/** What each event does in each state, `-` where it has no place. */
function table<State extends string, Event extends string>(
  states: readonly State[],
  events: readonly Event[],
  next: (state: State, event: Event) => State | undefined,
): string[] {
  return states.map(
    (state) => `${state}: ${events.map((event) => next(state, event) ?? '-').join(' ')}`,
  )
}

test('a grant is over for good once it ended, and never lives without being activated', () => {
  const events = Object.keys(GRANT) as (keyof typeof GRANT)[]
  expect(events).toEqual(['want', 'approve', 'take', 'refuse', 'activate', 'end', 'settle'])
  expect(table(GrantState.options, events, nextGrantState)).toEqual([
    'requested: - - - refused active - -',
    'denied: - - - - - - -',
    'pending: pending approved requested refused - - -',
    'approved: pending - requested refused - - -',
    'refused: - - - - - - -',
    'active: - - - - active revoking -',
    'revoking: - - - - - - revoked',
    'revoked: - - - - - - -',
  ])
})

test('a lease that is being revoked is never confirmed, and ends only by being settled', () => {
  const events = Object.keys(LEASE) as (keyof typeof LEASE)[]
  expect(events).toEqual(['confirm', 'revoke', 'settle'])
  expect(table(LeaseState.options, events, nextLeaseState)).toEqual([
    'intent: active revoking -',
    'active: - revoking -',
    'revoking: - - revoked',
    'revoked: - - -',
  ])
})
