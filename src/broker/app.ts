import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { secureHeaders } from 'hono/secure-headers'
import { JitError } from '../lib/errors.ts'
import { authenticate } from './authenticate.ts'
import type { BrokerParts } from './broker.ts'
import type { Grants } from './grants.ts'
import { openApiDocument } from './openapi.ts'
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

/** Everything a route needs. */
export interface AppParts extends BrokerParts {
  readonly grants: Grants
  readonly sandboxes: Sandboxes
}

export type App = Hono<{ Variables: { session: Session } }>

const MAX_BODY_BYTES = 64 * 1024

/** The broker's HTTP interface, lifelines aside. */
export function createApp(parts: AppParts): App {
  const { config, log, ledger, store } = parts
  const app: App = new Hono()
  app.use(secureHeaders())
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
    if (error.code === 'internal') {
      log.warn('a request failed', { path: c.req.path, reason: error.message, stack: error.stack })
    }
    return errorResponse(c, error, config.url)
  })
  app.notFound((c) => {
    const error = new JitError('not_found', `there is nothing at ${c.req.path}`)
    return errorResponse(c, error, config.url)
  })
  app.get('/healthz', (c) => c.json({ status: 'ok' }))
  app.get('/readyz', async (c) => {
    await store.db.selectFrom('meta').select('key').limit(1).execute()
    const stuck = await ledger.read.stuck()
    return c.json({
      status: 'ok',
      policies: parts.policies.current.version,
      stuck_revocations: stuck,
    })
  })
  app.get('/openapi.json', (c) => c.json(openApiDocument(config.url)))
  app.use('/v1/*', async (c, next) => {
    const { method, path } = c.req
    const authorization = c.req.header('Authorization')
    const proof = c.req.header('DPoP')
    const sender = { method, path, authorization, proof }
    c.set('session', await authenticate(sender, parts))
    c.header('Cache-Control', 'no-store')
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
