/** What sends programs through a port, in the spellings that they read: curl takes `http_proxy` in lower case alone. */
const PROXY_VARIABLES = {
  'https:': ['HTTPS_PROXY', 'https_proxy'],
  'http:': ['HTTP_PROXY', 'http_proxy'],
} as const
const EXCEPTION_VARIABLES = ['NO_PROXY', 'no_proxy']

/** Which certificates programs trust; most of them trust nothing else then. */
const TRUST_VARIABLES = [
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'CURL_CA_BUNDLE',
  'REQUESTS_CA_BUNDLE',
  'PIP_CERT',
  'GIT_SSL_CAINFO',
  'AWS_CA_BUNDLE',
  'CARGO_HTTP_CAINFO',
  'DENO_CERT',
]

const ALL: ReadonlySet<string> = new Set([
  ...Object.values(PROXY_VARIABLES).flat(),
  ...EXCEPTION_VARIABLES,
  ...TRUST_VARIABLES,
])

/** Whether a port of ours may set it, which no broker may. */
export function isPortVariable(name: string): boolean {
  return ALL.has(name)
}

function each(names: readonly string[], value: string): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, value]))
}

/** @param proxy its URL, with what it wants to know */
export function proxyVariables(protocol: string, proxy: string): Record<string, string> {
  const names = protocol === 'https:' ? PROXY_VARIABLES['https:'] : PROXY_VARIABLES['http:']
  // Node asks for no proxy by itself.
  return { ...each(names, proxy), NODE_USE_ENV_PROXY: '1' }
}

export function exceptionVariables(hosts: readonly string[]): Record<string, string> {
  return each(EXCEPTION_VARIABLES, hosts.join(','))
}

export function trustVariables(bundle: string): Record<string, string> {
  return each(TRUST_VARIABLES, bundle)
}
