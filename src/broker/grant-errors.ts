import { JitError } from '../lib/errors.ts'
import type { EndedBy } from '../protocol/grant.ts'

/** It is over, or was never the caller's to go on with. */
export function grantEnded(grant: string): JitError {
  return new JitError('grant_ended', `grant ${grant} is over`, { hint: 'ask again' })
}

/** Why it is over, where nobody gave a reason of their own. */
export const ENDINGS: Readonly<Record<EndedBy, string>> = {
  exit: 'the command has ended',
  ttl: 'its time is over',
  lifeline: 'the connection to the client was lost',
  revoked: 'it was revoked',
  context: 'its context changed',
  policy: 'policy does not permit it any more',
  session: 'the session has ended',
}

/** There is none, or none that the caller may see: nobody is told which. */
export function noSuchGrant(grant: string): JitError {
  return new JitError('not_found', `there is no grant ${grant}`, {
    hint: "'jit grants' lists those that live, 'jit approve' what waits for you",
  })
}

/** What can be done about a denial: policies are somebody's to change, what was handed on is the owner's. */
export const DENIED_HINT = 'ask whoever keeps the policies, or ask for less'
export const PROXY_HINT =
  'ask for it by a proxy: --deliver proxy, or without --deliver; or ask whoever keeps the policies'
export const CEILING_HINT =
  'only your owner can give you more, by handing a session on anew; or ask for less'

/** What a request may say for itself, and the flag that says it. */
const SAID = { reason: '--reason', ticket: '--ticket' } as const
export type Sayable = keyof typeof SAID

/** Of a denial that stands only as long as nothing is said. */
export function sayingHint(unsaid: readonly Sayable[]): string {
  return `policy wants to be told: ask again with ${unsaid.map((name) => SAID[name]).join(' and ')}`
}

/** Policy says no, whatever was got first, or the session's ceiling does. */
export function requestDenied({
  message,
  hint,
  grant,
}: {
  message: string
  hint: string
  grant?: string
}): JitError {
  return new JitError('denied', message, { hint, ...(grant === undefined ? {} : { grant }) })
}

/** Nobody wanted it in time. */
export function requestLapsed(): JitError {
  return new JitError('request_lapsed', 'the request waited too long', { hint: 'ask again' })
}
