import * as v from 'valibot'
import { toTimestamp } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import type { Grants, Receipt, Withdrawal } from '../../protocol/grant.ts'
import { parse } from '../../protocol/parse.ts'
import type { WhoAmI } from '../../protocol/principal.ts'
import type { App, AppParts } from '../app.ts'
import { authenticationOf } from '../decider.ts'
import { grantView, isWaiting, type LedgerGrant } from '../ledger/rows.ts'
import type { Session } from '../sessions.ts'

const Scope = v.picklist(['mine', 'all'], 'expected mine or all')
const RevokeMany = v.union([
  v.strictObject({ scope: Scope }),
  v.strictObject({ user: v.pipe(v.string(), v.minLength(1), v.maxLength(512)) }),
])
const After = v.pipe(v.optional(v.string(), '0'), v.regex(/^\d{1,15}$/), v.transform(Number))

const isOwn = (session: Session, { row }: LedgerGrant) =>
  row.principal_id === session.principal.id && row.principal_kind === session.principal.kind

/** Who I am, what is granted, and the way to end it. */
export function inventoryRoutes(app: App, parts: AppParts): void {
  const { config, ledger, audit, grants, policies, store } = parts

  /** Others' grants are a matter of policy. */
  const may = (session: Session, action: 'view' | 'revoke', grant: LedgerGrant) => {
    if (isOwn(session, grant)) return true
    const { row } = grant
    const { effect } = policies.current.decideOn({
      principal: session.principal,
      action,
      grant: {
        id: row.id,
        principal: { kind: grantView(grant).principal.kind, id: row.principal_id },
        environment: row.environment,
        task: row.task,
        tier: row.tier,
      },
      context: { authentication: authenticationOf(session), now: store.now() },
    })
    return effect === 'permit'
  }

  /** A grant that can't be seen doesn't exist. */
  const visible = async (session: Session, id: string) => {
    const grant = await ledger.read.grant(id)
    if (may(session, 'view', grant)) return grant
    throw new JitError('not_found', `there is no grant ${id}`)
  }

  const revoke = async (session: Session, grant: LedgerGrant): Promise<Receipt | Withdrawal> => {
    const { id } = grant.row
    if (!may(session, 'revoke', grant)) {
      throw new JitError('denied', `you may not revoke grant ${id}`)
    }
    await grants.endAnyway(id, { by: 'revoked', actor: session.principal })
    if (isWaiting(grant.row)) return { grant: id, state: (await ledger.read.grant(id)).row.state }
    return grants.receipt(id)
  }

  app.get('/v1/whoami', (c) => {
    const session = c.get('session')
    const body: WhoAmI = {
      principal: session.principal,
      broker: config.url,
      session_expires_at: toTimestamp(session.expiresAt),
      ...(session.ceiling === undefined ? {} : { ceiling: session.ceiling }),
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
      scope === 'mine' ? isOwn(session, grant) : may(session, 'view', grant),
    )
    const body: Grants = { grants: shown.map(grantView) }
    return c.json(body)
  })

  app.get('/v1/grants/:id', async (c) => {
    const body: Grants = { grants: [grantView(await visible(c.get('session'), c.req.param('id')))] }
    return c.json(body)
  })

  app.post('/v1/grants/:id/revoke', async (c) => {
    const session = c.get('session')
    return c.json(await revoke(session, await visible(session, c.req.param('id'))))
  })

  app.post('/v1/revoke', async (c) => {
    const session = c.get('session')
    const input = await c.req.json().catch(() => undefined)
    const which = parse(RevokeMany, input, { what: 'revoke request' })
    const chosen = (await ledger.read.live()).filter((grant) => {
      if ('scope' in which && which.scope === 'mine') return isOwn(session, grant)
      const { id, name } = grantView(grant).principal
      const meant = 'scope' in which || id === which.user || name === which.user
      return meant && may(session, 'view', grant) && may(session, 'revoke', grant)
    })
    const actor = session.principal
    await Promise.all(chosen.map(({ row }) => grants.endAnyway(row.id, { by: 'revoked', actor })))
    // Those still being minted were refused: they have nothing to show a receipt for.
    const receipts = await Promise.all(
      chosen.map(({ row }) => (row.state === 'requested' ? undefined : grants.receipt(row.id))),
    )
    return c.json({ receipts: receipts.filter((receipt) => receipt !== undefined) })
  })

  app.get('/v1/audit', async (c) => {
    const session = c.get('session')
    const { effect } = policies.current.decideOn({
      principal: session.principal,
      action: 'audit',
      context: { authentication: authenticationOf(session), now: store.now() },
    })
    if (effect !== 'permit') throw new JitError('denied', 'you may not read the audit log')
    const after = parse(After, c.req.query('after'), { what: 'after' })
    return c.json(await audit.page(after))
  })
}
