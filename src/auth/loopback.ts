import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as client from 'openid-client'
import { JitError } from '../lib/errors.ts'
import { demandParameters, requireMet, type SignInDemands } from './demands.ts'
import { agentParameters, type IdentityProvider } from './discovery.ts'
import {
  connectProvider,
  type IdentityTokens,
  identityTokens,
  providerError,
  scopesOf,
  signInExpired,
} from './provider.ts'

/** How long the browser may take, in milliseconds. */
const PATIENCE = 10 * 60 * 1000

/**
 * Authorization code with PKCE S256 and a loopback redirect (RFC 8252 section 7.3).
 * @param flow.onAddress told once where to send the browser
 * @throws JitError `sign_in_denied`, `sign_in_expired`, `sign_in_failed`, `issuer_unreachable`, `cancelled`
 */
export async function signInByBrowser(flow: {
  provider: IdentityProvider
  demands?: SignInDemands
  onAddress: (address: URL) => void
  signal: AbortSignal
}): Promise<IdentityTokens> {
  const { provider, demands = {} } = flow
  const startedAt = Date.now()
  const configuration = await connectProvider(provider)
  const checks = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(),
    expectedState: client.randomState(),
    // PKCE does what a random one would (RFC 9700 section 2.1.1): a nonce says what a sign-in is for.
    ...(demands.nonce === undefined ? {} : { expectedNonce: demands.nonce }),
    idTokenExpected: true,
  }
  const server = createServer()
  try {
    const redirect = await listen(server)
    const arrived = callback({ server, redirect, state: checks.expectedState, signal: flow.signal })
    // Awaited below; a provider that refuses earlier must not leave it unhandled.
    arrived.catch(() => {})
    flow.onAddress(await addressOf({ configuration, provider, redirect, checks, demands }))
    const answer = await client.authorizationCodeGrant(configuration, await arrived, checks)
    const tokens = identityTokens(answer)
    requireMet(tokens.idToken, { demands, startedAt })
    return tokens
  } catch (thrown) {
    throw providerError(thrown, provider.issuer)
  } finally {
    server.close()
    server.closeIdleConnections()
  }
}

async function listen(server: Server): Promise<URL> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`)
}

async function addressOf(flow: {
  configuration: client.Configuration
  provider: IdentityProvider
  redirect: URL
  checks: { pkceCodeVerifier: string; expectedState: string }
  demands: SignInDemands
}): Promise<URL> {
  return client.buildAuthorizationUrl(flow.configuration, {
    ...demandParameters(flow.demands),
    ...agentParameters(flow.provider),
    redirect_uri: flow.redirect.href,
    scope: scopesOf(flow.provider.scopes),
    // OpenID Connect Core section 11: a refresh token is given only after consent.
    prompt: 'consent',
    state: flow.checks.expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(flow.checks.pkceCodeVerifier),
    code_challenge_method: 'S256',
  })
}

/** The first request that carries our state; anything else on the port is turned away. */
async function callback(flow: {
  server: Server
  redirect: URL
  state: string
  signal: AbortSignal
}): Promise<URL> {
  const { promise, resolve, reject } = Promise.withResolvers<URL>()
  const cancel = () => reject(new JitError('cancelled', 'cancelled'))
  const timer = setTimeout(() => reject(signInExpired()), PATIENCE)
  flow.signal.addEventListener('abort', cancel)
  if (flow.signal.aborted) cancel()
  flow.server.on('request', (request, response) => {
    const url = new URL(request.url ?? '/', flow.redirect)
    const ours = url.pathname === flow.redirect.pathname
    if (!ours || url.searchParams.get('state') !== flow.state) {
      return answer(response, 404, 'There is nothing here.')
    }
    answer(response, 200, 'jit goes on in your terminal. You can close this page.')
    resolve(url)
  })
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    flow.signal.removeEventListener('abort', cancel)
  }
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' })
  response.end(`${text}\n`)
}
