import { randomInt } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { test } from 'vitest'
import { MINT_MARGIN_MS, MINT_WINDOW_MS } from '../../src/broker/ledger/lease-transitions.ts'
import { JitError } from '../../src/lib/errors.ts'
import { openLeases } from './books.ts'
import { Client } from './client.ts'
import { LATE, secondsUntil } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted, runs } from './tally.ts'

/** Milliseconds that the target takes longer, each way: creating takes a few round trips. */
const SLOW_MS = 150
/** Milliseconds in which somebody loses patience: from before the mint to after the delivery. */
const PATIENCE_MS = 1500
const AT_ONCE = 10
/** Half of them arrive, and their answers don't; the others don't arrive before the line is whole again. */
const IN_FLIGHT = 8
/** Milliseconds that what arrives takes, each way: longer than the requests take to be recorded. */
const ANSWERED_MS = 1500

test.concurrent.for(STORES)(
  'clients give up while their credentials are made: no live role whose lease says revoked, and none is left (%s)',
  async (store, { expect }) => {
    await using stage = await Stage.set({ store, config: { lifeline: { grace: '2s' } } })
    await stage.start()
    const client = new Client(await stage.person('dev'))
    stage.line.slow(SLOW_MS)
    const seen = { 'given up': 0, 'held already': 0, undead: 0, unknown: 0 }
    const giveUp = async () => {
      const signal = AbortSignal.timeout(randomInt(PATIENCE_MS))
      try {
        const holding = await client.ask({ signal })
        seen['held already'] += 1
        holding.vanish()
      } catch (thrown) {
        if (!signal.aborted) throw thrown
        seen['given up'] += 1
      }
    }
    for (let round = 0; round < runs(4); round += 1) {
      const clients = Array.from({ length: AT_ONCE }, giveUp)
      const strays = await stage.strays()
      seen.undead += strays.undead.length
      seen.unknown += strays.unknown.length
      await Promise.all(clients)
    }
    stage.line.restore()
    const isDone = async () => (await openLeases(stage.books)) === 0
    const done = await secondsUntil(isDone, { within: 60, what: 'all leases revoked' })
    const left = await stage.database.leases()
    counted({
      fault: 'clients that give up on a create',
      store,
      figures: { ...seen, 'done s': done, left: left.length },
    })
    expect(seen).toMatchObject({ undead: 0, unknown: 0 })
    expect(seen['given up']).toBeGreaterThan(0)
    expect(left).toEqual([])
  },
)

test.concurrent.for(STORES)(
  'the broker gives up on creates that are on their way, or whose answer is: what arrives past the mint window is refused by the target, what was made is revoked (%s)',
  async (store, { expect }) => {
    await using stage = await Stage.set({ store })
    await stage.start()
    const client = new Client(await stage.person('dev'))
    const askFor = (count: number) => Array.from({ length: count }, () => client.ask())
    // The broker's connections are open by then: what is sent on them is on its way.
    for (const holding of await Promise.all(askFor(IN_FLIGHT))) await holding.release()
    const intended = (count: number) =>
      secondsUntil(async () => (await openLeases(stage.books)) === count, {
        within: LATE,
        what: `${count} intended`,
      })
    stage.line.slow(ANSWERED_MS)
    const early = askFor(IN_FLIGHT / 2)
    await intended(IN_FLIGHT / 2)
    stage.line.cut()
    const late = askFor(IN_FLIGHT / 2)
    await intended(IN_FLIGHT)
    const answers = await Promise.allSettled([...early, ...late])
    await wait(MINT_WINDOW_MS + MINT_MARGIN_MS)
    const made = (await stage.database.leases()).length
    const cut = await stage.strays()
    stage.line.restore()
    const isDone = async () => (await openLeases(stage.books)) === 0
    const done = await secondsUntil(isDone, { within: 60, what: 'all leases revoked' })
    // A create that came late would show itself by now.
    await wait(1000)
    const whole = await stage.strays()
    const left = await stage.database.leases()
    counted({
      fault: 'creates cut off on their way',
      store,
      figures: {
        creates: IN_FLIGHT,
        made,
        undead: cut.undead.length + whole.undead.length,
        unknown: cut.unknown.length + whole.unknown.length,
        'done s': done,
        left: left.length,
      },
    })
    const codes = answers.map((one) =>
      one.status === 'rejected' ? JitError.from(one.reason).code : 'granted',
    )
    expect(codes).toEqual(Array.from({ length: IN_FLIGHT }, () => 'target_unreachable'))
    for (const strays of [cut, whole]) expect(strays).toEqual({ unknown: [], undead: [] })
    expect(left).toEqual([])
  },
)
