import type { StepUp } from '../client/sign-in-again.ts'
import type { Connection } from './connect.ts'
import type { Deps } from './deps.ts'

/**
 * Signs the person in again where policy wants it; the parts that do are loaded only then.
 * @param options.nonce what the sign-in is for, where the flow carries it
 * @returns throws `insufficient_user_authentication` where nobody could confirm, and what the sign-in throws
 */
export function stepUpFor(
  { broker }: Pick<Connection, 'broker'>,
  deps: Deps,
  options: { nonce?: string } = {},
): StepUp {
  return async (signIn) => {
    const { stepUp } = await import('./step-up.ts')
    await stepUp({ broker, signIn, ...options, deps })
  }
}
