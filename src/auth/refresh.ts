import * as client from 'openid-client'
import { JitError } from '../lib/errors.ts'
import { connectProvider, type IdentityTokens, oauthErrorOf, providerError } from './provider.ts'

/**
 * A new identity token for a refresh token (OpenID Connect Core section 12), and the next refresh
 * token where the provider rotates them.
 * @throws JitError `not_signed_in` when the provider no longer takes it, `issuer_unreachable`, `sign_in_failed`
 */
export async function refreshIdentity(session: {
  issuer: string
  clientId: string
  refreshToken: string
}): Promise<IdentityTokens> {
  const configuration = await connectProvider(session)
  const answer = await client
    .refreshTokenGrant(configuration, session.refreshToken)
    .catch((thrown) => {
      throw oauthErrorOf(thrown) === 'invalid_grant'
        ? over('the identity provider has ended the sign-in')
        : providerError(thrown, session.issuer)
    })
  if (!answer.id_token) {
    throw over(`${session.issuer} sends no identity token when it renews a sign-in`)
  }
  return {
    idToken: answer.id_token,
    ...(answer.refresh_token ? { refreshToken: answer.refresh_token } : {}),
  }
}

function over(message: string): JitError {
  return new JitError('not_signed_in', message)
}
