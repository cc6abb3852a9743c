import type { Server } from 'node:http'
import { createHttpProxyServer } from '@anthropic-ai/sandbox-runtime/dist/sandbox/http-proxy.js'
import {
  createResolvedAddressGuard,
  isResolvedAddressDenied,
} from '@anthropic-ai/sandbox-runtime/dist/sandbox/resolved-address-guard.js'
import { domainFilter } from './domains.ts'
import type { Refused } from './proxy.ts'

/** Names of metadata services: what they resolve to is refused as well. */
const METADATA_NAMES = ['metadata.google.internal', 'metadata.goog', 'instance-data']

/**
 * The runtime's HTTP proxy for the allowed domains. What a name resolves to may not be loopback,
 * link-local, a metadata service or this host: the runtime sees to it, and connects to the very
 * address that it looked at.
 * @param token the password of `Proxy-Authorization`
 */
export function domainServer({
  token,
  domains,
  broker,
  routes,
  refuse,
}: {
  token: string
  domains: readonly string[]
  broker: string
  routes(): ReadonlyMap<string, string>
  refuse(refused: Refused): void
}): Server {
  const denied = [...METADATA_NAMES, broker]
  const permits = domainFilter({ domains, denied, routes })
  const guard = createResolvedAddressGuard({ allowedDomains: domains })
  return createHttpProxyServer({
    filter(port, host, _socket, _command, explain) {
      const why = permits(host, port)
      if (why === undefined) return true
      refuse({ host, port })
      explain?.(why)
      return false
    },
    getMitmSocketPath: (host) => routes().get(host),
    lookupFor: (port) => (hostname, options, callback) =>
      guard.lookupFor(port)(hostname, options, (error, address, family) => {
        if (isResolvedAddressDenied(error)) refuse({ host: hostname, port })
        callback(error, address, family)
      }),
    proxyAuthToken: token,
  })
}
