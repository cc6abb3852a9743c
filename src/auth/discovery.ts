import { canonicalUrl, isLoopback, isPrivateTransport } from '../lib/address.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import { send } from '../lib/http.ts'
import { RESOURCE_METADATA_PATH, ResourceMetadata } from '../protocol/oauth.ts'
import { parseJson } from '../protocol/parse.ts'

/** Where the people of a broker sign in. */
export interface IdentityProvider {
  readonly issuer: string
  readonly clientId: string
  /** As which client copilots sign in; absent where they can't. */
  readonly agentClientId?: string
  /** The copilot that signs in, for the provider's page to show; absent: a person does. */
  readonly agent?: string
  /** Asked for beside the usual ones. */
  readonly scopes: readonly string[]
  /** Hosts beside the issuer's own that its pages may be on. */
  readonly verificationHosts: readonly string[]
}

/**
 * A broker's URL as typed, in the one form that it is known by. Without a scheme it is https, and
 * http on this machine, where brokers for trying things out have no certificate.
 * @throws JitError `usage`: not a URL, not https (nor loopback), or with parts a broker's URL has not
 */
export function brokerUrl(text: string): string {
  const url = text.includes('://') ? URL.parse(text) : withScheme(text)
  if (!url) throw unusable(text, 'it is not a URL')
  if (url.username || url.password) throw unusable(url.host, 'it carries a user name')
  if (url.search || url.hash) throw unusable(text, 'it carries a query or a fragment')
  if (!isPrivateTransport(url)) throw unusable(text, 'it is not https')
  return canonicalUrl(url)
}

function withScheme(text: string): URL | null {
  const plain = URL.parse(`http://${text}`)
  return plain && isLoopback(plain) ? plain : URL.parse(`https://${text}`)
}

function unusable(text: string, reason: string): JitError {
  return new JitError('usage', `'${text}' is not the address of a broker: ${reason}`, {
    hint: 'write it like https://jit.acme.dev; plain http is for this machine alone',
  })
}

/**
 * Asks the broker where its people sign in (RFC 9728).
 * @returns every provider that a person can sign in at, the preferred first
 * @throws JitError `broker_unreachable`, `broker_failed`
 */
export async function discoverProviders(
  broker: string,
  signal?: AbortSignal,
): Promise<readonly IdentityProvider[]> {
  const answer = await send({
    method: 'GET',
    url: metadataUrl(broker),
    ...(signal ? { signal } : {}),
  })
  const { 'content-type': type = 'no type' } = answer.headers
  if (answer.status !== 200 || !/^application\/json\b/i.test(String(type))) {
    const what = answer.status === 200 ? escapeForDisplay(String(type)) : answer.status
    throw new JitError('broker_failed', `${broker} does not answer as a broker (${what})`, {
      hint: 'is the address right? ask whoever runs the broker',
    })
  }
  const metadata = parseJson(ResourceMetadata, answer.body, {
    what: `the metadata of ${broker}`,
    code: 'broker_failed',
  })
  requireItself(broker, metadata)
  const providers = metadata.identity_providers.flatMap(({ clients, ...provider }) =>
    clients.human === undefined
      ? []
      : [
          {
            issuer: provider.issuer,
            clientId: clients.human,
            ...(clients.agent === undefined ? {} : { agentClientId: clients.agent }),
            scopes: provider.scopes,
            verificationHosts: provider.verification_hosts,
          },
        ],
  )
  if (providers.length > 0) return providers
  throw new JitError('broker_failed', `${broker} names no identity provider for people`)
}

/** RFC 9728 section 3.1: the well-known part goes between host and path. */
function metadataUrl(broker: string): URL {
  const url = new URL(broker)
  return new URL(`${url.origin}${RESOURCE_METADATA_PATH}${url.pathname.replace(/\/$/, '')}`)
}

/** RFC 9728 section 3.3: metadata that speaks for another resource must not be used. */
function requireItself(broker: string, metadata: ResourceMetadata): void {
  const resource = canonicalUrl(new URL(metadata.resource))
  if (resource !== broker) {
    throw new JitError('broker_failed', `${broker} says that it is ${resource}`, {
      hint: `sign in there instead, or set 'url' in its broker.yaml`,
    })
  }
  for (const { issuer } of metadata.identity_providers) {
    if (isPrivateTransport(new URL(issuer))) continue
    throw new JitError('broker_failed', `${broker} names an issuer that is not https: ${issuer}`)
  }
}

/**
 * The provider to sign in at: the one this machine has used, else the broker's first.
 * @throws JitError `issuer_changed` when the broker no longer lists the one it was known with
 */
export function chooseProvider(
  providers: readonly IdentityProvider[],
  known: { broker: string; issuer: string | undefined; configFile: string },
): IdentityProvider {
  const [first] = providers
  if (!first) throw new JitError('broker_failed', `${known.broker} names no identity provider`)
  if (known.issuer === undefined) return first
  const same = providers.find((provider) => provider.issuer === known.issuer)
  if (same) return same
  throw new JitError(
    'issuer_changed',
    `${known.broker} now signs people in through ${first.issuer}, before it was ${known.issuer}`,
    {
      hint: `if its operator confirms that, remove it from 'brokers' in ${known.configFile}, then jit login`,
    },
  )
}

/**
 * The same provider, for a copilot that signs in as itself.
 * @throws JitError `broker_failed` where the broker has no client for copilots
 */
export function forAgent(provider: IdentityProvider, agent: string): IdentityProvider {
  const { agentClientId } = provider
  if (agentClientId !== undefined) return { ...provider, clientId: agentClientId, agent }
  throw new JitError(
    'broker_failed',
    `copilots have no client of their own at ${provider.issuer}`,
    {
      hint: `hand your own session on: jit login --agent ${agent} --delegate`,
    },
  )
}

/** What a sign-in says of the copilot it is for. Providers ignore what they don't know (RFC 6749 section 3.1). */
export function agentParameters({ agent }: IdentityProvider): Record<string, string> {
  return agent === undefined ? {} : { agent_name: agent }
}
