import { LIVE_GRANT_STATES, WAITING_STATES } from '../grant-state.ts'
import type { Store } from '../store/store.ts'

/** Leases of one target whose last attempt to revoke failed. */
export interface Stuck {
  readonly target: string
  readonly count: number
  /** Since when the oldest of them was to be revoked: milliseconds since the epoch. */
  readonly since: number
}

/** How many are in quarantine, and whether another broker has this ledger too. */
export interface Quarantined {
  readonly open: number
  readonly forked: boolean
}

/** How the ledger stands at one moment, for those who watch over it. */
export interface Census {
  readonly grants: readonly { state: string; task: string; count: number }[]
  readonly sandboxes: number
  readonly stuck: readonly Stuck[]
  readonly quarantined: Quarantined
}

/** Counts grants that are not over, sandboxes that run, revocations that are stuck, and what is in quarantine. */
export async function takeCensus(store: Store): Promise<Census> {
  const grants = await store.db
    .selectFrom('grants')
    .select((eb) => ['state', 'task', eb.fn.countAll<number>().as('count')])
    .where('state', 'in', [...LIVE_GRANT_STATES, ...WAITING_STATES])
    .groupBy(['state', 'task'])
    .execute()
  const sandboxes = await store.db
    .selectFrom('sandboxes')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('ended_at', 'is', null)
    .executeTakeFirstOrThrow()
  return {
    grants: grants.map((row) => ({ ...row, count: Number(row.count) })),
    sandboxes: Number(sandboxes.count),
    stuck: await stuckRevocations(store),
    quarantined: await quarantinedIn(store),
  }
}

/** What doesn't get revoked, by target. */
export async function stuckRevocations(store: Pick<Store, 'db'>): Promise<Stuck[]> {
  const rows = await store.db
    .selectFrom('leases')
    .innerJoin('grants', 'grants.id', 'leases.grant_id')
    .select((eb) => [
      'leases.target',
      eb.fn.countAll<number>().as('count'),
      // One that was replaced before it arrived is revoked while its grant goes on.
      eb.fn.min(eb.fn.coalesce('grants.ended_at', 'leases.mint_by')).as('since'),
    ])
    .where('leases.problem', 'is not', null)
    .groupBy('leases.target')
    .orderBy('leases.target')
    .execute()
  return rows.map(({ target, count, since }) => ({
    ...{ target, count: Number(count), since: Number(since) },
  }))
}

/** What exists at targets, and this ledger doesn't know who made it. */
export async function quarantinedIn({ db }: Pick<Store, 'db'>): Promise<Quarantined> {
  const { open, forked } = await db
    .selectFrom('quarantine')
    .select((of) => [
      of.fn.countAll<number>().as('open'),
      of.fn.max<number | null>('forked').as('forked'),
    ])
    .where('resolved_at', 'is', null)
    .executeTakeFirstOrThrow()
  return { open: Number(open), forked: forked === 1 }
}
