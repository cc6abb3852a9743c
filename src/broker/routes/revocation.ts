import * as v from 'valibot'
import { JitError } from '../../lib/errors.ts'
import type { Receipt, Receipts, Withdrawal } from '../../protocol/grant.ts'
import { parse } from '../../protocol/parse.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { App, AppParts } from '../app.ts'
import { noSuchGrant } from '../grant-errors.ts'
import { isWaiting, type LedgerGrant, principalOf } from '../ledger/rows.ts'
import { knownPrincipals, offboard, openGrants, stopAgents } from '../offboarding.ts'
import { isOwn, mayDo, mayOffboard } from '../permissions.ts'
import { agentNameOf } from '../session-record.ts'
import type { Session } from '../sessions.ts'

const Whom = v.pipe(v.string(), v.minLength(1), v.maxLength(512))
const Many = v.union([
  v.strictObject({ scope: v.picklist(['mine', 'all'], 'expected mine or all') }),
  v.strictObject({ user: Whom }),
  v.strictObject({ agent: Whom }),
])
type Many = v.InferOutput<typeof Many>

/** The kill switches: one grant, one's own, a copilot, somebody's access, everybody's. */
export function revocationRoutes(app: App, parts: AppParts): void {
  const { ledger, grants, store } = parts

  /** What came of it, as it is now: of a request that waited or was being minted, that it is over. */
  const outcomeOf = async (id: string): Promise<Receipt | Withdrawal> => {
    const { row } = await ledger.read.grant(id)
    return row.state === 'refused' ? { grant: id, state: row.state } : grants.receipt(id)
  }

  app.post('/v1/grants/:id/revoke', async (c) => {
    const session = c.get('session')
    const id = c.req.param('id')
    const grant = await ledger.read.grant(id)
    if (!mayDo(session, { action: 'view', grant }, parts)) {
      throw noSuchGrant(id)
    }
    if (!mayDo(session, { action: 'revoke', grant }, parts)) {
      throw new JitError('denied', `you may not revoke grant ${id}`)
    }
    await grants.ender.endAnyway(id, { by: 'revoked', actor: session.principal })
    return c.json(isWaiting(grant.row) ? await outcomeOf(id) : await grants.receipt(id))
  })

  /** Everybody whom the request speaks of; nobody where it is about one's own grants. */
  const meantBy = async (which: Exclude<Many, { agent: string }>): Promise<Principal[]> => {
    if ('scope' in which) return which.scope === 'all' ? knownPrincipals(store) : []
    const known = await knownPrincipals(store)
    return known.filter(({ id, name }) => id === which.user || name === which.user)
  }

  /** Grants that end by leave to revoke each of them: of those who can't be offboarded. */
  const revocable = async (people: readonly Principal[], session: Session, own: boolean) => {
    const ids = new Set(people.map(({ id }) => id))
    const may = (action: 'view' | 'revoke', grant: LedgerGrant) =>
      mayDo(session, { action, grant }, parts)
    return (await openGrants(parts)).filter((grant) => {
      if (own && isOwn(session, grant)) return true
      const { id, owner = '' } = principalOf(grant.row)
      return (ids.has(id) || ids.has(owner)) && may('view', grant) && may('revoke', grant)
    })
  }

  app.post('/v1/revoke', async (c) => {
    const session = c.get('session')
    const input = await c.req.json().catch(() => undefined)
    const which = parse(Many, input, { what: 'revoke request' })
    const actor = session.principal
    if ('agent' in which) return c.json(await stop(session, which.agent))
    const people = await meantBy(which)
    const cut_off = people.filter((whom) => mayOffboard(session, whom, parts)).map(({ id }) => id)
    const gone = await offboard({ principalIds: cut_off, actor }, parts)
    const rest = await revocable(people, session, 'scope' in which)
    await grants.ender.endEach(rest, { by: 'revoked', actor })
    const ids = [...new Set([...gone.grants, ...rest].map(({ row }) => row.id))]
    if ('user' in which && cut_off.length === 0 && ids.length === 0) throw nobody(which.user)
    return c.json(await receiptsOf(ids, { sessions: gone.sessions, cut_off }))
  })

  const receiptsOf = async (
    ids: readonly string[],
    { sessions, cut_off }: { sessions: readonly string[]; cut_off: string[] },
  ): Promise<Receipts> => {
    const outcomes = await Promise.all(ids.map(outcomeOf))
    return {
      receipts: outcomes.filter((outcome) => 'leases' in outcome),
      withdrawn: outcomes.filter((outcome) => !('leases' in outcome)),
      sessions: sessions.length,
      cut_off,
    }
  }

  /** Ends every session of one's own copilots of a name, and of others' whose access one may end. */
  const stop = async (session: Session, name: string): Promise<Receipts> => {
    const actor = session.principal
    if (actor.kind === 'agent') throw new JitError('denied', 'a copilot stops no copilot')
    const known = await knownPrincipals(store)
    const meant = known.filter(
      (one) => one.kind === 'agent' && (one.id === name || agentNameOf(one) === name),
    )
    const ids = meant.filter((whom) => mayOffboard(session, whom, parts)).map(({ id }) => id)
    const gone = await stopAgents({ ids: new Set(ids), actor }, parts)
    if (gone.sessions.length === 0 && gone.grants.length === 0) throw noAgent(name)
    const grants = gone.grants.map(({ row }) => row.id)
    return receiptsOf(grants, { sessions: gone.sessions, cut_off: [] })
  }
}

function noAgent(name: string): JitError {
  const message = `no copilot called '${name}' has a session that you may end`
  return new JitError('not_found', message, {
    hint: "its name, as in 'jit status', or its whole id",
  })
}

/** Somebody whom one may not offboard doesn't exist, as a grant that one may not see. */
function nobody(user: string): JitError {
  const message = `there is nobody called '${user}' whose access you may end`
  return new JitError('not_found', message, {
    hint: 'a whole name or id, as `jit audit` has them; policies say who may, by Action::"offboard"',
  })
}
