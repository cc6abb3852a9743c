import type { Obligation } from '../protocol/obligation.ts'

/** What a request waits for, in a few words: `platform-oncall and 2 of data-owners`. */
export function obligationText({ sign_in, approvals }: Obligation): string {
  const parts = [
    ...(sign_in ? ['a fresh sign-in'] : []),
    ...approvals.map(({ group, people }) => (people === 1 ? group : `${people} of ${group}`)),
  ]
  return parts.join(' and ') || 'a decision'
}
