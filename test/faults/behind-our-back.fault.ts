import { expect, test } from 'vitest'
import { openLeases } from './books.ts'
import { crowd } from './crowd.ts'
import { LATE, secondsUntil, stopwatch } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted, runs } from './tally.ts'

const HOUR = 3_600_000
/** Milliseconds until the first of them expire: a broker serves by then. */
const LEAD = 10_000
/** Seconds. */
const READY_WITHIN = 5
const DEPLOY = ['exec', '--env', 'dev', '--task', 'deploy', '--target', 'dev-db', '--', 'true']

test.each(STORES)(
  'credentials deleted behind our back: a restart is ready at once, and what is gone is revoked without a complaint (%s)',
  async (store) => {
    // A restart finds them all; so many expire soon, and are revoked.
    const size = Math.max(10_000, runs(1000))
    const soon = runs(1000)
    const now = Date.now()
    await using stage = await Stage.set({ store, config: { lifeline: { grace: '1h' } } })
    await stage.start()
    await crowd(stage, {
      size,
      target: 'dev-db',
      expiresAt: (index) => now + (index < soon ? LEAD : HOUR),
    })
    const elapsed = stopwatch()
    const node = await stage.start()
    const ready = elapsed()
    const { code } = await (await stage.person('lead')).run(DEPLOY)
    const isDrained = async () => (await openLeases(stage.books)) <= 1 + size - soon
    const within = LEAD / 1000 + 30 + soon / 20
    await secondsUntil(isDrained, { within, what: 'all of them recorded as revoked' })
    const complaints = node.entries.filter(({ level }) => level !== 'info')
    counted({
      fault: 'credentials deleted behind our back',
      store,
      figures: { leases: size, 'ready s': ready, revoked: soon, errors: complaints.length },
    })
    expect(complaints).toEqual([])
    expect(code).toBe(0)
    expect(ready).toBeLessThan(READY_WITHIN + LATE)
  },
)
