import { expect, test } from 'vitest'
import { stopwatch } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted, runs } from './tally.ts'

/** Of the time that a start takes: before, nothing is made yet. */
const EARLIEST = 0.4

test.each(STORES)(
  'a broker that is killed while it makes its ledger starts the next time (%s)',
  async (store) => {
    const times = runs(4)
    let undisturbed = 0
    let killed = 0
    let served = 0
    for (let round = 0; round <= times; round += 1) {
      await using stage = await Stage.set({ store })
      if (round > 0) {
        const dieAfter = undisturbed * (EARLIEST + Math.random() * (1 - EARLIEST))
        const first = await stage.start({ dieAfter }).catch(() => undefined)
        if (!first) killed += 1
        await first?.kill()
      }
      const seconds = stopwatch()
      await stage.start()
      if (round === 0) undisturbed = seconds() * 1000
      else served += 1
    }
    counted({
      fault: 'broker killed in its first start',
      store,
      figures: { times, killed, served },
    })
    expect(served).toBe(times)
  },
)
