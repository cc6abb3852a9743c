import type { StepUp } from '../client/sign-in-again.ts'
import type { Connection } from './connect.ts'
import type { Deps } from './deps.ts'

/**
 * Signs the person in again at a broker, when that is wanted; loaded then.
 * @param options.nonce what the sign-in is for, where the flow carries it
 */
export function stepUpFor(
  { broker }: Pick<Connection, 'broker'>,
  deps: Deps,
  options: { nonce?: string } = {},
): StepUp {
  return async (signIn) => {
    const { stepUp } = await import('./step-up.ts')
    await stepUp({ ...options, broker, signIn, deps })
  }
}
