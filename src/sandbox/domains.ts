import { matchesDomainPatternWithPort } from '@anthropic-ai/sandbox-runtime/dist/sandbox/domain-pattern.js'
import { canonicalizeHost } from '@anthropic-ai/sandbox-runtime/dist/sandbox/parent-proxy.js'

/** What a host may be made of: nothing that a resolver would read otherwise than we do. */
const HOST = /^[A-Za-z0-9_.:[\]-]{1,255}$/

/**
 * Decides on a host and port as a client named them: `undefined` where it may be reached, else why not.
 * @param denied hosts, and URLs of which the host and port are meant; they win over all others
 */
export function domainFilter({
  domains,
  denied,
  routes,
}: {
  domains: readonly string[]
  denied: readonly string[]
  routes(): ReadonlyMap<string, string>
}): (host: string, port: number) => string | undefined {
  const never = denied.map(asPattern)
  return (host, port) => {
    if (!HOST.test(host)) return 'malformed host'
    // As getaddrinfo would read it: 2852039166 is 169.254.169.254.
    const name = canonicalizeHost(host) ?? host
    const matches = (pattern: string) => matchesDomainPatternWithPort(name, port, pattern)
    if (never.some(matches)) return 'not reached from a sandbox'
    if (routes().has(name) || domains.some(matches)) return undefined
    return 'not among the allowed domains'
  }
}

function asPattern(denied: string): string {
  if (!URL.canParse(denied)) return denied
  const { hostname, port, protocol } = new URL(denied)
  return `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`
}
