import * as v from 'valibot'
import { parse } from '../../protocol/parse.ts'
import type { Sandbox, Sandboxes } from '../../protocol/sandbox.ts'
import type { App, AppParts } from '../app.ts'
import { mayDo, mayOffboard } from '../permissions.ts'
import type { Session } from '../sessions.ts'

const Scope = v.picklist(['mine', 'all'], 'expected mine or all')

/** The sandboxes that copilots run in. */
export function sandboxRoutes(app: App, parts: AppParts): void {
  const { sandboxes } = parts.ledger

  /** Others' whose access one may end, or of whose grants one may see one. */
  const mayView = async (session: Session, { principal, grants }: Sandbox): Promise<boolean> => {
    if (isOwn(session, principal) || mayOffboard(session, principal, parts)) return true
    const held = await Promise.all(grants.map((id) => parts.ledger.read.grant(id)))
    return held.some((grant) => mayDo(session, { action: 'view', grant }, parts))
  }

  app.get('/v1/sandboxes', async (c) => {
    const session = c.get('session')
    const scope = parse(v.optional(Scope, 'mine'), c.req.query('scope'), { what: 'scope' })
    const live = await sandboxes.views(await sandboxes.live())
    const seen = await Promise.all(
      live.map((one) => (scope === 'mine' ? isOwn(session, one.principal) : mayView(session, one))),
    )
    const body: Sandboxes = { sandboxes: live.filter((_, index) => seen[index]) }
    return c.json(body)
  })
}

/** One's own, and those of one's copilots. */
function isOwn({ principal }: Session, { kind, id, owner }: Sandbox['principal']): boolean {
  if (principal.kind === 'human') return owner === principal.id
  return kind === principal.kind && id === principal.id
}
