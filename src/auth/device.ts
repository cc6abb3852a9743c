import { setTimeout as wait } from 'node:timers/promises'
import * as client from 'openid-client'
import { isPrivateTransport } from '../lib/address.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import { demandParameters, requireMet, type SignInDemands } from './demands.ts'
import { agentParameters, type IdentityProvider } from './discovery.ts'
import {
  connectProvider,
  type IdentityTokens,
  identityTokens,
  isConnectionLoss,
  providerError,
  scopesOf,
  signInExpired,
} from './provider.ts'

/** What the person needs to confirm a sign-in from any browser. */
export interface Verification {
  readonly userCode: string
  readonly uri: URL
  /** With the code in it; the person still compares it. */
  readonly uriComplete?: URL
  /** Seconds. */
  readonly expiresIn: number
}

/**
 * The device flow (RFC 8628), with PKCE, which some providers demand here as well.
 * @param flow.onVerification told once, before polling starts; its addresses were checked
 * @throws JitError `sign_in_denied`, `sign_in_expired`, `sign_in_failed`, `issuer_unreachable`, `cancelled`
 */
export async function signInByDevice(flow: {
  provider: IdentityProvider
  demands?: SignInDemands
  onVerification: (verification: Verification) => void
  signal: AbortSignal
}): Promise<IdentityTokens> {
  const { provider, demands = {} } = flow
  const startedAt = Date.now()
  const configuration = await connectProvider(provider)
  const verifier = client.randomPKCECodeVerifier()
  try {
    const device = await client.initiateDeviceAuthorization(configuration, {
      ...demandParameters(demands),
      ...agentParameters(provider),
      scope: scopesOf(provider.scopes),
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    })
    flow.onVerification(verificationOf(device, provider))
    const tokens = identityTokens(await poll({ ...flow, configuration, device, verifier }))
    requireMet(tokens.idToken, { demands, startedAt })
    return tokens
  } catch (thrown) {
    throw providerError(thrown, provider.issuer)
  }
}

/** Asks until there is an answer; a network that comes and goes costs time, not the sign-in (RFC 8628 section 3.5). */
async function poll(flow: {
  configuration: client.Configuration
  device: client.DeviceAuthorizationResponse
  verifier: string
  signal: AbortSignal
}): Promise<client.TokenEndpointResponse> {
  const expiry = AbortSignal.timeout(flow.device.expires_in * 1000)
  const signal = AbortSignal.any([flow.signal, expiry])
  const parameters = { code_verifier: flow.verifier }
  for (;;) {
    try {
      const { configuration, device } = flow
      const answer = client.pollDeviceAuthorizationGrant(configuration, device, parameters, {
        signal,
      })
      return await Promise.race([answer, abortion(signal)])
    } catch (thrown) {
      if (flow.signal.aborted) throw new JitError('cancelled', 'cancelled', { cause: thrown })
      if (expiry.aborted) throw signInExpired(thrown)
      if (!isConnectionLoss(thrown)) throw thrown
    }
    await wait((flow.device.interval ?? 5) * 1000, undefined, { signal }).catch(() => {})
  }
}

/** Fails as soon as `signal` is aborted; openid-client looks at it only between two waits of up to 5 s. */
function abortion(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  if (signal.aborted) reject(signal.reason)
  signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  return promise
}

function verificationOf(
  device: client.DeviceAuthorizationResponse,
  provider: IdentityProvider,
): Verification {
  const complete = device.verification_uri_complete
  return {
    userCode: escapeForDisplay(device.user_code),
    uri: checkVerificationAddress(device.verification_uri, provider),
    ...(complete && { uriComplete: checkVerificationAddress(complete, provider) }),
    expiresIn: device.expires_in,
  }
}

/**
 * An address that a person is about to be sent to must be the provider's: https or loopback, the
 * issuer's host or one that the broker lists.
 * @throws JitError `sign_in_failed`
 */
export function checkVerificationAddress(
  address: string,
  provider: Pick<IdentityProvider, 'issuer' | 'verificationHosts'>,
): URL {
  const url = URL.parse(address)
  const issuer = new URL(provider.issuer)
  const wrong = !url
    ? 'it is not a URL'
    : url.username || url.password
      ? 'it carries a user name'
      : !isPrivateTransport(url)
        ? 'it is not https'
        : url.hostname === issuer.hostname || provider.verificationHosts.includes(url.host)
          ? undefined
          : `its host is neither ${issuer.hostname} nor one that the broker lists`
  if (url && !wrong) return url
  throw new JitError(
    'sign_in_failed',
    `${provider.issuer} sent a page to confirm at that can't be trusted: ${escapeForDisplay(address)}: ${wrong}`,
    { hint: "the broker's operator can list the host under verification_hosts" },
  )
}
