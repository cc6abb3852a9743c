import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { secureHeaders } from 'hono/secure-headers'
import { JitError } from '../lib/errors.ts'
import { PROBLEM_MEDIA_TYPE, type Problem } from '../protocol/problem.ts'
import { authenticate } from './authenticate.ts'
import type { BrokerParts } from './broker.ts'
import type { Grants } from './grants.ts'
import { openApiDocument } from './openapi.ts'
import { problemOf } from './problem.ts'
import { grantTokenRoutes } from './routes/grant-tokens.ts'
import { inventoryRoutes } from './routes/inventory.ts'
import { oauthRoutes } from './routes/oauth.ts'
import type { Session } from './sessions.ts'

/** Everything a route needs. */
export interface AppParts extends BrokerParts {
  readonly grants: Grants
}

export type App = Hono<{ Variables: { session: Session } }>

const MAX_BODY_BYTES = 64 * 1024

/** An error as a response (RFC 9457); 401 names the scheme and where to sign in (RFC 9728 section 5.1). */
export function problemResponse(c: Context, problem: Problem, url: string): Response {
  if (problem.status === 401) {
    const error = problem.code.startsWith('proof') ? 'invalid_dpop_proof' : 'invalid_token'
    const metadata = `${url}/.well-known/oauth-protected-resource`
    c.header('WWW-Authenticate', `DPoP error="${error}", resource_metadata="${metadata}"`)
  }
  return c.body(JSON.stringify(problem), problem.status as 400, {
    'Content-Type': PROBLEM_MEDIA_TYPE,
  })
}

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
    return problemResponse(c, problemOf(error), config.url)
  })
  app.notFound((c) => {
    const error = new JitError('not_found', `there is nothing at ${c.req.path}`)
    return problemResponse(c, problemOf(error), config.url)
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
    c.set('session', await authenticate(sender, { ...parts, url: config.url }))
    c.header('Cache-Control', 'no-store')
    await next()
  })
  oauthRoutes(app, parts)
  grantTokenRoutes(app, parts)
  inventoryRoutes(app, parts)
  return app
}
