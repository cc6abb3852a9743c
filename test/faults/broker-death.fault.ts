import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { FailurePoint } from '../../src/broker/failpoints.ts'
import { approvalsIn, type Strays } from './books.ts'
import { Client } from './client.ts'
import { approvals, type Cycle, deploys, Load, renewals } from './load.ts'
import { stopwatch } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES, type StoreKind } from './stores.ts'
import { counted, runs } from './tally.ts'
import { Tenant } from './tenants.ts'

/** Seconds after a restart by which nothing may be left. */
const SWEPT_WITHIN = 60
/** After so many kills the next broker is left to sweep. */
const ROUND = 10
/** Milliseconds after a broker serves in which it is killed, where that isn't at a step. */
const MOMENTS = 2000

interface Campaign {
  readonly what: string
  readonly store: StoreKind
  /** Grants that are asked for, held and given back at the same time. */
  readonly atOnce: number
  /** Where it dies; `any moment` is at none of the steps. */
  readonly points: readonly (FailurePoint | 'any moment')[]
  readonly load: (stage: Stage) => Promise<Cycle>
  /** Why grants may end although they are held: short ones run out while no broker renews them. */
  readonly mayEnd?: readonly string[]
  /** Whether another node serves all the while. */
  readonly beside?: boolean
}

const deploying = async (stage: Stage) => deploys(new Client(await stage.person('dev')))
/** Of one person alone no more than 60 requests a minute come to wait. */
const approving = async (stage: Stage) => {
  const requesters = ['dev', 'admin'].map(async (login) => new Client(await stage.person(login)))
  const approver = new Client(await stage.person('lead'))
  return approvals({ requesters: await Promise.all(requesters), approver })
}
const renewing = async (stage: Stage) => renewals(new Client(await stage.person('dev')))

const MINT_AND_REVOKE = {
  what: 'mint and revoke',
  atOnce: 8,
  points: [
    'mint:intended',
    'mint:created',
    'mint:recorded',
    'mint:delivered',
    'revoke:recorded',
    'revoke:undone',
    'revoke:settled',
    'any moment',
  ],
  load: deploying,
} as const

const CAMPAIGNS: readonly Campaign[] = [
  ...STORES.flatMap((store): Campaign[] => [
    { ...MINT_AND_REVOKE, store },
    {
      what: 'approve',
      store,
      atOnce: 12,
      points: ['request:pending', 'approve:recorded', 'request:permitted', 'any moment'],
      load: approving,
    },
    {
      what: 'renew',
      store,
      mayEnd: ['ttl'],
      atOnce: 30,
      points: ['renew:intended', 'renew:extended', 'renew:recorded'],
      load: renewing,
    },
  ]),
  { ...MINT_AND_REVOKE, what: 'mint and revoke, beside a node', store: 'postgres', beside: true },
]

interface Seen extends Strays {
  /** Roles at the target at the moments of death, all together. */
  readonly live: number
  /** Seconds in which a broker that is left alone had swept what was there, at most. */
  readonly swept: number
}

/** Starts a broker and kills it, again and again, each time after the one before was taken up. @param stays a role that does */
async function killAt(
  stage: Stage,
  { point, times, stays }: { point: Campaign['points'][number]; times: number; stays: string },
): Promise<Seen> {
  const seen = { unknown: [] as string[], undead: [] as string[], live: 0, swept: 0 }
  for (let kills = 1; kills <= times; kills += 1) {
    await killed(stage, point)
    const { unknown, undead } = await stage.strays()
    seen.unknown.push(...unknown)
    seen.undead.push(...undead)
    const of = await stage.database.leases()
    seen.live += of.length
    if (kills % ROUND !== 0) continue
    const node = await stage.start()
    const swept = await stage.swept({ of, but: [stays], within: SWEPT_WITHIN })
    seen.swept = Math.max(seen.swept, swept)
    await node.kill()
  }
  return seen
}

async function killed(stage: Stage, point: Campaign['points'][number]): Promise<void> {
  if (point === 'any moment') {
    const node = await stage.start()
    await wait(Math.random() * MOMENTS)
    await node.kill()
    return
  }
  const node = await stage.start({ dieAt: `${point}:${1 + Math.floor(Math.random() * 3)}` })
  await node.gone()
  expect(node.process.signalCode).toBe('SIGKILL')
}

// Side by side: much of each is waiting.
test.concurrent.for(CAMPAIGNS)(
  'the broker is killed at each step of $what, under load: no role that the ledger does not know, nothing unapproved, no command stopped, nothing left ($store)',
  async ({ store, points, load, what, atOnce, mayEnd = [], beside = false }, { expect }) => {
    await using stage = await Stage.set({ store })
    const first = await stage.start()
    const work = new Load(await load(stage), atOnce)
    using tenant = new Tenant(await stage.person('admin'))
    const role = await tenant.role()
    if (!beside) await first.kill()
    const times = runs(1)
    for (const point of points) {
      const { unknown, undead, live, swept } = await killAt(stage, { point, times, stays: role })
      const figures = {
        kills: times,
        'roles at death': live,
        unknown: unknown.length,
        undead: undead.length,
        ...(times < ROUND ? {} : { 'swept s': swept }),
      }
      const step = beside ? `${point}, beside a node` : point
      const where = point === 'any moment' ? `${point} of ${what}` : step
      counted({ fault: `broker killed at ${where}`, store, figures })
      expect({ unknown, undead }).toEqual({ unknown: [], undead: [] })
    }
    if (!beside) await stage.start()
    const seconds = stopwatch()
    const { finished, lost, failed } = await work.stop()
    const done = seconds()
    const swept = await stage.swept({ but: [role], within: SWEPT_WITHIN })
    const { approved, twice, unapproved } = await approvalsIn(stage.books, 'prod')
    counted({
      fault: `after the kills at ${what}`,
      store,
      figures: {
        finished,
        lost: lost.length,
        ...failed,
        'done s': done,
        'swept s': swept,
        ...(approved > 0 ? { approved, twice, unapproved } : {}),
      },
    })
    expect(lost.filter((why) => !mayEnd.includes(why))).toEqual([])
    expect({ twice, unapproved }).toEqual({ twice: 0, unapproved: 0 })
    expect(tenant.notes, tenant.stderr).toEqual([`in ${role}`])
    tenant.jit.kill('SIGTERM')
    await tenant.ended
    await stage.swept({ within: SWEPT_WITHIN })
  },
)
