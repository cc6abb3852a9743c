import * as client from 'openid-client'
import { isLoopback, isPrivateTransport } from '../lib/address.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'

/** What a sign-in, or its renewal, gets from the provider. */
export interface IdentityTokens {
  readonly idToken: string
  readonly refreshToken?: string
}

const TIMEOUT_SECONDS = 10
/** Seconds that the clocks of this machine and the provider may differ. */
export const CLOCK_TOLERANCE = 30

/**
 * Reads the provider's metadata (OpenID Connect Discovery 1.0); plain HTTP on loopback only.
 * @throws JitError `issuer_unreachable`, `sign_in_failed`
 */
export async function connectProvider(provider: {
  issuer: string
  clientId: string
}): Promise<client.Configuration> {
  const issuer = new URL(provider.issuer)
  if (!isPrivateTransport(issuer)) {
    throw new JitError('sign_in_failed', `the issuer ${provider.issuer} is not https`)
  }
  const execute = isLoopback(issuer) ? [client.allowInsecureRequests] : []
  const metadata = { [client.clockTolerance]: CLOCK_TOLERANCE }
  const options = { execute, timeout: TIMEOUT_SECONDS }
  return client
    .discovery(issuer, provider.clientId, metadata, client.None(), options)
    .catch((thrown) => {
      throw providerError(thrown, provider.issuer)
    })
}

/** The scopes of every sign-in: who it is, and a refresh token. */
export function scopesOf(extra: readonly string[]): string {
  return [...new Set(['openid', 'profile', 'email', 'offline_access', ...extra])].join(' ')
}

/** @throws JitError `sign_in_failed` when the provider sent no identity token */
export function identityTokens(answer: client.TokenEndpointResponse): IdentityTokens {
  if (!answer.id_token) {
    throw new JitError('sign_in_failed', 'the identity provider sent no identity token', {
      hint: "the client must be allowed the scope 'openid'",
    })
  }
  return {
    idToken: answer.id_token,
    ...(answer.refresh_token ? { refreshToken: answer.refresh_token } : {}),
  }
}

/** What openid-client throws, as one of ours. */
export function providerError(thrown: unknown, issuer: string): JitError {
  if (thrown instanceof JitError) return thrown
  if (isAborted(thrown)) return new JitError('cancelled', 'cancelled', { cause: thrown })
  const error = oauthErrorOf(thrown)
  if (error === 'access_denied') {
    return new JitError('sign_in_denied', 'the sign-in was refused', { cause: thrown })
  }
  if (error === 'expired_token') return signInExpired(thrown)
  if (error) {
    const { error_description: said } = thrown as { error_description?: string }
    const reason = escapeForDisplay(said ? `${error}: ${said}` : error)
    return new JitError('sign_in_failed', `${issuer} refused: ${reason}`, { cause: thrown })
  }
  if (isConnectionLoss(thrown)) {
    return new JitError('issuer_unreachable', `can't reach the identity provider ${issuer}`, {
      hint: 'check the network and try again',
      cause: thrown,
    })
  }
  const reason = thrown instanceof Error ? escapeForDisplay(thrown.message) : 'unknown error'
  return new JitError('sign_in_failed', `signing in at ${issuer} failed: ${reason}`, {
    cause: thrown,
  })
}

export function signInExpired(cause?: unknown): JitError {
  return new JitError('sign_in_expired', 'nobody confirmed the sign-in in time', {
    hint: 'jit login',
    cause,
  })
}

/** `error` of RFC 6749 section 5.2 and of an authorization response. */
export function oauthErrorOf(thrown: unknown): string | undefined {
  const ours =
    thrown instanceof client.ResponseBodyError ||
    thrown instanceof client.AuthorizationResponseError
  return ours ? thrown.error : undefined
}

/** No answer, a late one, or one of a server in trouble: worth another try. */
export function isConnectionLoss(thrown: unknown): boolean {
  if (thrown instanceof TypeError) return thrown.message === 'fetch failed'
  if (!(thrown instanceof client.ClientError)) return false
  // Not by `instanceof`: @hono/node-server puts another `Response` in the global's place.
  const { status = 0 } = (thrown.cause ?? {}) as { status?: number }
  return thrown.code === 'OAUTH_TIMEOUT' || status >= 500
}

function isAborted(thrown: unknown): boolean {
  const { name, code } = (thrown ?? {}) as { name?: string; code?: string }
  return name === 'AbortError' || code === 'OAUTH_ABORT'
}
