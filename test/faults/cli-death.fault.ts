import { test } from 'vitest'
import type { Home } from '../run/home.ts'
import { LATE, secondsUntil } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted, runs } from './tally.ts'
import { Tenant } from './tenants.ts'

/** Seconds. */
const GRACE = 3
const AT_ONCE = 5

/**
 * Kills so many clients, round by round.
 * @param last what is noted at last by commands that live on
 * @returns when each role was gone after its kill, in seconds
 */
async function killed(
  { database }: Stage,
  home: Home,
  { times, kill, last }: { times: number; kill: (tenant: Tenant) => void; last?: string },
): Promise<{ gone: number[]; notes: string[][] }> {
  const gone: number[] = []
  const notes: string[][] = []
  while (gone.length < times) {
    const left = Math.min(AT_ONCE, times - gone.length)
    const round = Array.from({ length: left }, () => new Tenant(home, { apart: true }))
    await Promise.all(
      round.map(async (tenant) => {
        using _ = tenant
        const role = await tenant.role()
        kill(tenant)
        await tenant.ended
        const isGone = async () => !(await database.leases()).includes(role)
        gone.push(await secondsUntil(isGone, { within: GRACE + LATE, what: `${role} gone` }))
        if (last !== undefined) await tenant.note(last)
        notes.push(tenant.notes)
      }),
    )
  }
  return { gone, notes }
}

test.concurrent.for(STORES)(
  'the client is killed, alone and with its group: its role goes after the grace, and what is left of the command can do nothing (%s)',
  async (store, { expect }) => {
    await using stage = await Stage.set({ store, config: { lifeline: { grace: `${GRACE}s` } } })
    await stage.start()
    const home = await stage.person('dev')
    const times = runs(5)
    const alone = await killed(stage, home, {
      times,
      kill: ({ jit }) => jit.kill('SIGKILL'),
      last: 'refused',
    })
    const group = await killed(stage, home, {
      times,
      kill: ({ jit }) => process.kill(-(jit.pid ?? 0), 'SIGKILL'),
    })
    const refused = alone.notes.filter((notes) => notes.includes('cut')).length
    for (const [fault, { gone }] of Object.entries({
      'kill -9 of jit': alone,
      'kill -9 of its group': group,
    })) {
      const figures = { kills: gone.length, 'gone s, at most': Math.max(...gone), grace: GRACE }
      counted({ fault, store, figures })
    }
    expect(refused).toBe(times)
    for (const seconds of [...alone.gone, ...group.gone]) {
      expect(seconds).toBeGreaterThan(GRACE - 0.5)
      expect(seconds).toBeLessThan(GRACE + LATE)
    }
    // Of a group nobody is left who could have noticed.
    expect(group.notes.flat().filter((note) => !note.startsWith('in '))).toEqual([])
    expect(await stage.strays()).toEqual({ unknown: [], undead: [] })
  },
)
