import type { Principal } from '../protocol/principal.ts'
import { type CutOff, cutOff } from './cutoffs.ts'
import type { Grants } from './grants.ts'
import { type LedgerGrant, principalOf } from './ledger/rows.ts'
import type { BrokerParts } from './parts.ts'
import type { Sandboxes } from './sandboxes.ts'
import { endSession } from './session-end.ts'
import type { Store } from './store/store.ts'

type Parts = Pick<BrokerParts, 'store' | 'audit' | 'ledger'> & {
  readonly grants: Grants
  readonly sandboxes: Pick<Sandboxes, 'settle'>
}

/** What ended with somebody's access. */
interface Offboarded {
  readonly sessions: readonly string[]
  /** Their grants, requests that waited among them, as they were. */
  readonly grants: readonly LedgerGrant[]
}

/**
 * Ends people's access: sessions, what was granted in them, what waited, and the way back in without
 * a new sign-in.
 */
export async function offboard(order: CutOff, parts: Parts): Promise<Offboarded> {
  const sessions = await cutOff(order, parts)
  await parts.sandboxes.settle()
  const ended = new Set(sessions)
  const { principalIds, actor, detail } = order
  const ids = new Set(principalIds)
  // Among them what was asked ahead in sessions that ended before: a new one could use it.
  const over = new Set(await parts.ledger.read.ofEndedSessions())
  const grants = (await openGrants(parts)).filter(({ row }) => {
    const { id, owner = '' } = principalOf(row)
    return ended.has(row.sid) || (over.has(row.id) && (ids.has(id) || ids.has(owner)))
  })
  const ending = {
    by: 'revoked',
    ...(detail ? { detail } : {}),
    ...(actor ? { actor } : {}),
  } as const
  await parts.grants.ender.endEach(grants, ending)
  return { sessions, grants }
}

/**
 * Ends what copilots have now: every session of theirs, whoever signed them in, what was granted and
 * what waits. Nothing keeps them out: their person may hand a session on again at once.
 */
export async function stopAgents(
  { ids, actor }: { ids: ReadonlySet<string>; actor: Principal },
  parts: Parts,
): Promise<Offboarded> {
  const { store, audit } = parts
  const sessions = await store.transaction(async (tx) => {
    const open = await tx
      .selectFrom('sessions')
      .select('sid')
      .where('principal_id', 'in', [...ids])
      .where('ended_at', 'is', null)
      .execute()
    const ending = { by: 'revoked', at: store.now(), actor, audit } as const
    const ended = []
    for (const { sid } of open) ended.push(...(await endSession(tx, sid, ending)))
    return ended
  })
  await parts.sandboxes.settle()
  const grants = (await openGrants(parts)).filter(({ row }) => ids.has(row.principal_id))
  await parts.grants.ender.endEach(grants, { by: 'revoked', actor })
  return { sessions, grants }
}

/** Grants and requests that aren't over. */
export async function openGrants({ ledger }: Pick<Parts, 'ledger'>): Promise<LedgerGrant[]> {
  return [...(await ledger.read.live()), ...(await ledger.read.waiting())]
}

/**
 * Everybody who ever had a session here, as their last one says; people whom only a copilot of
 * theirs is known of as well.
 */
export async function knownPrincipals(store: Store): Promise<Principal[]> {
  const rows = await store.db
    .selectFrom('sessions')
    .select('principal')
    .where('sid', 'in', (eb) =>
      eb
        .selectFrom('sessions')
        .select((of) => of.fn.max('sid').as('sid'))
        .groupBy('principal_id'),
    )
    .execute()
  const known = rows.map(({ principal }) => JSON.parse(principal) as Principal)
  const ids = new Set(known.map(({ id }) => id))
  const owners = known.flatMap(({ owner, groups }): Principal[] =>
    owner === undefined || ids.has(owner)
      ? []
      : [{ kind: 'human', id: owner, name: owner, groups }],
  )
  return [...known, ...new Map(owners.map((owner) => [owner.id, owner])).values()]
}
