import { expect, test } from 'vitest'
import { openLeases } from './books.ts'
import { crowd, makeRoles } from './crowd.ts'
import { Health } from './health.ts'
import { secondsUntil } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted, runs } from './tally.ts'

/** Milliseconds until all expire: time to start. */
const leadTime = (size: number) => 25_000 + size
const HOUR = 3_600_000
const MAX_MEGABYTES = 600

test.each(STORES)(
  'leases that expire all at once: others are answered meanwhile, memory is bounded, every role goes (%s)',
  async (store) => {
    // The figure: npm run test:faults -- --runs 100000 mass-expiry
    const size = runs(2000)
    await using stage = await Stage.set({ store, config: { lifeline: { grace: '1h' } } })
    await stage.start()
    const long = Date.now() + HOUR * 10
    const handles = await crowd(stage, { size, target: 'dev-db', expiresAt: () => long })
    await makeRoles(stage.database, handles)
    const expiresAt = Date.now() + leadTime(size)
    for (const table of ['grants', 'leases']) {
      await stage.books.execute(
        `UPDATE ${table} SET expires_at = ${expiresAt} WHERE expires_at = ${long}`,
      )
    }
    const node = await stage.start()
    expect(Date.now()).toBeLessThan(expiresAt)
    const health = new Health(node)
    await secondsUntil(async () => Date.now() >= expiresAt, { within: size, what: 'the deadline' })
    const isDrained = async () => (await openLeases(stage.books)) <= 1
    const drained = await secondsUntil(isDrained, { within: 30 + size / 20, what: 'all drained' })
    const { p99, megabytes, answers } = await health.stop()
    const left = (await stage.database.leases()).filter((role) => handles.includes(role)).length
    const figures = {
      leases: size,
      left,
      'drained s': drained,
      'healthz p99 ms': p99,
      'MB, at most': megabytes,
    }
    counted({ fault: 'leases expire together', store, figures: { ...figures, answers } })
    expect(left).toBe(0)
    // 250 are meant, and counted: what else this machine does comes on top.
    expect(p99).toBeLessThan(2000)
    expect(megabytes).toBeLessThan(MAX_MEGABYTES)
    expect(await stage.strays()).toEqual({ unknown: [], undead: [] })
  },
)
