import { JitError } from '../lib/errors.ts'
import type { SignInObligation } from '../protocol/obligation.ts'
import { currentSession, replaceSignIn, type SessionSource } from './current-session.ts'
import type { SignInDemands } from './demands.ts'
import { discoverProviders, type IdentityProvider } from './discovery.ts'
import { openSession } from './open-session.ts'
import type { IdentityTokens } from './provider.ts'
import { readSession, type StoredSession } from './session.ts'

type Flow = NonNullable<StoredSession['flow']>

/** Has a person sign in: shows where, waits for the tokens. */
export type Authenticate = (how: {
  provider: IdentityProvider
  flow: Flow
  demands: SignInDemands
  /** Whom the session is of. */
  name: string
}) => Promise<IdentityTokens>

/**
 * Signs whoever holds the session in once more, as policy wants it (RFC 9470): at the same provider,
 * through the same flow. The session stays the same, with its grants; only
 * what it rests on is newer. When anything fails, it stays as it was.
 * @param step.nonce to be carried into the identity token, where the flow carries it
 * @throws JitError what `authenticate` throws; `token_invalid` for another account, `issuer_changed`,
 *   `insufficient_user_authentication` for a session that no person signed in to, and as {@link currentSession}
 */
export async function stepUp(step: {
  source: SessionSource
  signIn: SignInObligation
  nonce?: string
  authenticate: Authenticate
  signal: AbortSignal
}): Promise<StoredSession> {
  const { source, signIn, nonce } = step
  const session = await currentSession(source)
  const { flow } = session
  if (!flow) throw noPerson(session, signIn)
  const provider = await providerOf(session, step.signal)
  // Half of the age, because the sign-in grows older on its way back to the request.
  const demands: SignInDemands = {
    maxAge: Math.floor(signIn.max_age / 2),
    acrValues: signIn.acr_values,
    ...(nonce === undefined ? {} : { nonce }),
  }
  const { name } = session.principal
  const tokens = await step.authenticate({ provider, flow, demands, name })
  return replaceSignIn(source, { tokens, flow })
}

function noPerson({ agent, delegated }: StoredSession, signIn: SignInObligation): JitError {
  const message = 'policy wants a person to sign in anew, and nobody signed in to this session'
  const hint = `without JIT_AGENT: jit login --fresh, then jit login --agent ${agent} --delegate`
  const options = { signIn, ...(delegated ? { hint } : {}) }
  return new JitError('insufficient_user_authentication', message, options)
}

async function providerOf(
  { broker, agent, issuer, client_id }: StoredSession,
  signal: AbortSignal,
): Promise<IdentityProvider> {
  const providers = await discoverProviders(broker, signal)
  const same = providers.find((provider) => provider.issuer === issuer)
  if (same) return { ...same, clientId: client_id, ...(agent === undefined ? {} : { agent }) }
  const message = `${broker} no longer signs people in through ${issuer}`
  throw new JitError('issuer_changed', message, { hint: 'jit login' })
}

/**
 * Puts a new sign-in in place of the one that the session at the broker rests on, so that its requests
 * and grants go on; where there is no session any more, opens one.
 * @throws JitError as {@link openSession} and {@link replaceSignIn}
 */
export async function signInAgain(
  signIn: Parameters<typeof openSession>[0] & Pick<SessionSource, 'paths'>,
): Promise<StoredSession> {
  // A session that was handed on rests on no sign-in of its own: this one takes its place.
  if ((await readSession(signIn.keystore, signIn))?.delegated) return openSession(signIn)
  try {
    return await replaceSignIn(signIn, signIn)
  } catch (thrown) {
    const { code } = JitError.from(thrown)
    if (code !== 'not_signed_in' && code !== 'session_ended') throw thrown
    return openSession(signIn)
  }
}
