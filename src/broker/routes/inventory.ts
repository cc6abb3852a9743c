import * as v from 'valibot'
import { toTimestamp } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import type { Grants } from '../../protocol/grant.ts'
import { parse } from '../../protocol/parse.ts'
import type { WhoAmI } from '../../protocol/principal.ts'
import type { App, AppParts } from '../app.ts'
import { noSuchGrant } from '../grant-errors.ts'
import { grantView } from '../ledger/rows.ts'
import { isOwn, mayAudit, mayDo } from '../permissions.ts'
import type { Session } from '../sessions.ts'

const Scope = v.picklist(['mine', 'all'], 'expected mine or all')
const After = v.pipe(v.optional(v.string(), '0'), v.regex(/^\d{1,15}$/), v.transform(Number))

/** Who I am, what is granted, and what was done. */
export function inventoryRoutes(app: App, parts: AppParts): void {
  const { config, ledger, audit } = parts

  /** A grant that can't be seen doesn't exist. */
  const visible = async (session: Session, id: string) => {
    const grant = await ledger.read.grant(id)
    if (mayDo(session, { action: 'view', grant }, parts)) return grant
    throw noSuchGrant(id)
  }

  app.get('/v1/whoami', (c) => {
    const session = c.get('session')
    const body: WhoAmI = {
      principal: session.principal,
      broker: config.url,
      session_expires_at: toTimestamp(session.expiresAt),
      ...(session.ceiling === undefined ? {} : { ceiling: session.ceiling }),
      ...(session.principal.kind === 'pipeline' ? { signed: session.signed } : {}),
    }
    return c.json(body)
  })

  app.get('/v1/grants', async (c) => {
    const session = c.get('session')
    const scope = parse(v.optional(Scope, 'mine'), c.req.query('scope'), { what: 'scope' })
    const principalId = session.principal.id
    const of = scope === 'mine' ? { principalId } : {}
    const live = [...(await ledger.read.live(of)), ...(await ledger.read.waiting(of))]
    const shown = live.filter((grant) =>
      scope === 'mine' ? isOwn(session, grant) : mayDo(session, { action: 'view', grant }, parts),
    )
    const body: Grants = { grants: shown.map(grantView) }
    return c.json(body)
  })

  app.get('/v1/grants/:id', async (c) => {
    const body: Grants = { grants: [grantView(await visible(c.get('session'), c.req.param('id')))] }
    return c.json(body)
  })

  app.get('/v1/audit', async (c) => {
    const session = c.get('session')
    if (!mayAudit(session, parts)) throw new JitError('denied', 'you may not read the audit log')
    const after = parse(After, c.req.query('after'), { what: 'after' })
    return c.json(await audit.page(after))
  })
}
