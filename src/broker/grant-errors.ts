import { JitError } from '../lib/errors.ts'

/** It is over, or was never the caller's to go on with. */
export function grantEnded(grant: string): JitError {
  return new JitError('grant_ended', `grant ${grant} is over`, { hint: 'ask again' })
}

/** Policy says no, whatever was got first. */
export function requestDenied(message: string): JitError {
  const hint = 'ask whoever keeps the policies, or ask for less'
  return new JitError('denied', message, { hint })
}

/** Nobody wanted it in time. */
export function requestLapsed(): JitError {
  return new JitError('request_lapsed', 'the request waited too long', { hint: 'ask again' })
}
