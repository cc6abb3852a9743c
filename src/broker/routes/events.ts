import type { Context } from 'hono'
import type { App, AppParts } from '../app.ts'
import { offboard } from '../offboarding.ts'
import { EVENT_REMEMBERED_MS, type Refusal } from '../security-events.ts'

const MEDIA_TYPE = 'application/secevent+jwt'

/** Security events of identity providers: OpenID CAEP, pushed (RFC 8935). */
export function eventRoutes(app: App, parts: AppParts): void {
  const { securityEvents, store, log } = parts

  app.post('/ssf/events', async (c) => {
    const type = c.req.header('Content-Type')?.split(';')[0]?.trim().toLowerCase()
    if (type !== MEDIA_TYPE) {
      const description = `expected the content type ${MEDIA_TYPE}`
      return refuse(c, { kind: 'refused', err: 'invalid_request', description })
    }
    const received = await securityEvents.receive((await c.req.text()).trim())
    if (received.kind === 'refused') {
      const { err, description } = received
      log.warn('a security event was refused', { err, description })
      return refuse(c, received)
    }
    c.get('arrival').trusted()
    if (received.kind === 'no-effect') {
      const { issuer, types } = received
      log.info('a security event has no effect here', { issuer, types })
      return c.body(null, 202)
    }
    const { issuer, jti, signals, principalId, until } = received
    const once = {
      scope: 'security-event',
      value: `${issuer} ${jti}`,
      expiresAt: store.now() + EVENT_REMEMBERED_MS,
    } as const
    const detail = { issuer, signals, jti }
    const time = until === undefined ? {} : { until }
    await offboard({ principalIds: [principalId], ...time, detail, once }, parts)
    // Delivered twice is delivered: its transmitter may not have heard of the first time.
    return c.body(null, 202)
  })
}

/** RFC 8935 section 2.3. */
function refuse(c: Context, { err, description }: Refusal): Response {
  c.header('Content-Language', 'en')
  return c.json({ err, description }, 400)
}
