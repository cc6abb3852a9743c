/** What a sandbox may ask of the broker over plain HTTP. */
export type Route =
  /** As it is. */
  | { readonly kind: 'whoami' | 'ask' | 'foretell' }
  /** With its query. */
  | { readonly kind: 'askable'; readonly query: string }
  /** The grants that were asked for over this link. */
  | { readonly kind: 'list' | 'revoke_all' }
  /** One of those. */
  | { readonly kind: 'grant' | 'revoke' | 'explain'; readonly id: string }

const ONE = /^\/v1\/grants\/([A-Za-z0-9_-]{1,64})(\/revoke)?$/
const ID = /^[A-Za-z0-9_-]{1,64}$/

const FIXED: Readonly<Record<string, Route>> = {
  'GET /v1/whoami': { kind: 'whoami' },
  'GET /v1/grants': { kind: 'list' },
  'POST /v1/grants': { kind: 'ask' },
  'POST /v1/revoke': { kind: 'revoke_all' },
  'POST /v1/policy/explain': { kind: 'foretell' },
}

/**
 * Everything that is allowed, and nothing else: what the broker learns to do later is closed here until
 * somebody opens it.
 * @param target of the request line (RFC 9112 section 3.2.1)
 */
export function routeOf(method: string, target: string): Route | undefined {
  const [path = '', query = ''] = target.split('?', 2)
  const fixed = FIXED[`${method} ${path}`]
  if (fixed) return fixed.kind !== 'list' || isOwnScope(query) ? fixed : undefined
  if (method === 'GET' && path === '/v1/policy/explain') return explanationOf(query)
  if (method === 'GET' && path === '/v1/askable') return { kind: 'askable', query }
  const [, id, revoke] = ONE.exec(path) ?? []
  if (id === undefined) return undefined
  if (method === 'GET' && !revoke) return { kind: 'grant', id }
  return method === 'POST' && revoke ? { kind: 'revoke', id } : undefined
}

const isOwnScope = (query: string): boolean =>
  (new URLSearchParams(query).get('scope') ?? 'mine') === 'mine'

function explanationOf(query: string): Route | undefined {
  const id = new URLSearchParams(query).get('grant') ?? ''
  return ID.test(id) ? { kind: 'explain', id } : undefined
}
