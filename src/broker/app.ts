import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono, type Next } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { routePath } from 'hono/route'
import { secureHeaders } from 'hono/secure-headers'
import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { tracing } from '../lib/tracing.ts'
import { authenticate } from './authenticate.ts'
import type { ClientAddresses } from './client-address.ts'
import type { Grants } from './grants.ts'
import { openApiDocument } from './openapi.ts'
import type { BrokerParts } from './parts.ts'
import type { Arrival } from './rate-limits.ts'
import { errorResponse } from './responses.ts'
import { approvalRoutes } from './routes/approvals.ts'
import { askableRoutes } from './routes/askable.ts'
import { eventRoutes } from './routes/events.ts'
import { grantTokenRoutes } from './routes/grant-tokens.ts'
import { inventoryRoutes } from './routes/inventory.ts'
import { oauthRoutes } from './routes/oauth.ts'
import { policyRoutes } from './routes/policy.ts'
import { revocationRoutes } from './routes/revocation.ts'
import { sandboxRoutes } from './routes/sandboxes.ts'
import type { Sandboxes } from './sandboxes.ts'
import type { Session } from './sessions.ts'
import { quarantinedIn, stuckRevocations } from './telemetry/census.ts'
import type { Exposition } from './telemetry/exposition.ts'
import { asRequest, REQUEST_ID_HEADER } from './telemetry/request-id.ts'

/** Everything a route needs. */
export interface AppParts extends BrokerParts {
  readonly grants: Grants
  readonly sandboxes: Sandboxes
  readonly addresses: ClientAddresses
  /** Absent where the metrics have an address of their own, or there are none. */
  readonly exposition?: Exposition
}

export type App = Hono<{
  Bindings: HttpBindings
  Variables: { session: Session; arrival: Arrival }
}>

const MAX_BODY_BYTES = 64 * 1024

/** For an API that no page embeds or loads: what a browser does with its answers is nothing. */
function securityHeaders(url: string) {
  const nothing = { defaultSrc: ["'none'"], frameAncestors: ["'none'"] }
  return secureHeaders({
    contentSecurityPolicy: nothing,
    xFrameOptions: 'DENY',
    // Of this host alone: what is below it is not the broker's to speak for (RFC 6797 section 7.2: TLS only).
    strictTransportSecurity: url.startsWith('https:') && 'max-age=31536000',
  })
}

/** What looks at the broker without end is no span. */
const UNTRACED: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics'])

/** Answers a request under an id of its own, timed and traced. */
function watched(
  c: Context,
  { next, metrics, log }: { next: Next } & Pick<BrokerParts, 'metrics' | 'log'>,
): Promise<void> {
  const start = performance.now()
  const { method, path } = c.req
  const answer = async (id: string) => {
    await next()
    c.header(REQUEST_ID_HEADER, id)
    const { status } = c.res
    // What matched nothing was answered by what matches everything.
    const matched = routePath(c)
    const route = matched === '/*' ? 'none' : matched
    const seconds = (performance.now() - start) / 1000
    metrics.answered({ method, route, status, seconds })
    log.debug('answered', { method, route, status, seconds })
    const attributes = { 'http.route': route, 'http.response.status_code': status }
    if (!UNTRACED.has(path)) tracing.note(attributes, `${method} ${route}`)
  }
  return asRequest((id) => {
    if (UNTRACED.has(path)) return answer(id)
    const attributes = { 'http.request.method': method, 'jit.request': id }
    const parent = c.req.header('traceparent')
    return tracing.during(method, { kind: 'server', attributes, parent }, () => answer(id))
  })
}

/** The broker's HTTP interface, lifelines aside. */
export function createApp(parts: AppParts): App {
  const { config, log, ledger, store, rates, addresses, metrics } = parts
  const app: App = new Hono()
  app.use((c, next) => watched(c, { next, metrics, log }))
  app.use(securityHeaders(config.url))
  app.use((c, next) => {
    c.header('Cache-Control', 'no-store')
    return next()
  })
  app.use(
    bodyLimit({
      maxSize: MAX_BODY_BYTES,
      onError: () => {
        throw new JitError('request_invalid', `expected at most ${MAX_BODY_BYTES} bytes`)
      },
    }),
  )
  app.onError((thrown, c) => {
    const error = JitError.from(thrown)
    metrics.refused(error.code)
    if (error.code === 'internal') {
      log.error('a request failed', { path: c.req.path, reason: error.message, stack: error.stack })
    }
    return errorResponse(c, error, config.url)
  })
  app.notFound((c) => {
    const error = new JitError('not_found', `there is nothing at ${c.req.path}`)
    return errorResponse(c, error, config.url)
  })
  // A broker that is asked too much is well all the same: nobody is to restart it for that.
  app.get('/healthz', (c) => c.json({ status: 'ok' }))
  app.use(async (c, next) => {
    c.set('arrival', rates.arrive(addresses.of(c.env.incoming)))
    await next()
  })
  app.get('/readyz', async (c) => {
    await store.db.selectFrom('meta').select('key').limit(1).execute()
    const [stuck, quarantined] = await Promise.all([stuckRevocations(store), quarantinedIn(store)])
    const since = Math.min(...stuck.map((one) => one.since))
    const nodes = store.shared ? await ledger.nodes.alive() : []
    const { version } = parts.policies.current
    const otherwise = nodes.filter(({ policyVersion }) => policyVersion !== version).length
    return c.json({
      status: 'ok',
      policies: version,
      stuck_revocations: stuck.reduce((sum, { count }) => sum + count, 0),
      ...(stuck.length > 0 ? { stuck_since: toTimestamp(since) } : {}),
      quarantined: quarantined.open,
      forked: quarantined.forked,
      ...(store.shared ? { nodes: nodes.length, nodes_with_other_policies: otherwise } : {}),
    })
  })
  const { exposition } = parts
  if (exposition) app.get('/metrics', (c) => exposition(c.req.raw))
  app.get('/openapi.json', (c) => c.json(openApiDocument(config.url)))
  app.use('/v1/*', async (c, next) => {
    const { method, path } = c.req
    const authorization = c.req.header('Authorization')
    const proof = c.req.header('DPoP')
    const sender = { method, path, authorization, proof }
    const session = await authenticate(sender, parts)
    c.get('arrival').of(session.principal)
    c.set('session', session)
    await next()
  })
  oauthRoutes(app, parts)
  grantTokenRoutes(app, parts)
  inventoryRoutes(app, parts)
  revocationRoutes(app, parts)
  eventRoutes(app, parts)
  approvalRoutes(app, parts)
  policyRoutes(app, parts)
  askableRoutes(app, parts)
  sandboxRoutes(app, parts)
  return app
}
