import type { StepUp } from '../client/sign-in-again.ts'
import { JitError } from '../lib/errors.ts'
import type { Connection } from './connect.ts'
import type { Deps } from './deps.ts'
import { linkFrom } from './inside.ts'

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
    if (linkFrom(deps.env) !== undefined) throw notHere()
    const { stepUp } = await import('./step-up.ts')
    await stepUp({ ...options, broker, signIn, deps })
  }
}

/** The session of a sandbox isn't where what runs in it could sign anybody in. */
function notHere(): JitError {
  const message = 'policy wants a newer or stronger sign-in, which nobody can make in a sandbox'
  return new JitError('insufficient_user_authentication', message, {
    hint: 'the person signs in again outside (jit login --fresh), and starts the sandbox anew',
  })
}
