import { escapeForDisplay } from '../lib/escape.ts'
import type { Decision, PolicySet } from './decide.ts'

type Denial = Extract<Decision, { effect: 'deny' }>

/**
 * A denial in words that the requester can act on: the policies that said no and what their
 * authors say about them. What went wrong inside a policy is for the log alone.
 */
export function describeDenial(
  denial: Denial,
  { subject, policies }: { subject: string; policies: PolicySet },
): string {
  const named = denial.policies
    .map((id) => {
      const description = policies.descriptions.get(id)
      return description ? `${id} (${description})` : id
    })
    .join(', ')
  switch (denial.because) {
    case 'forbidden':
      return escapeForDisplay(`${subject}: forbidden by policy ${named}`)
    case 'not-permitted':
      return escapeForDisplay(`${subject}: no policy permits it`)
    case 'unnamed-delivery':
      return escapeForDisplay(
        `${subject}: an agent is given credentials in its environment only by a permit that names context.delivery`,
      )
    case 'error':
      return escapeForDisplay(
        named
          ? `${subject}: policy ${named} could not be decided`
          : `${subject}: could not be decided`,
      )
  }
}
