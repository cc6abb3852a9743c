import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Home } from '../run/home.ts'
import { openLeases } from './books.ts'
import { Client } from './client.ts'
import { LATE, secondsUntil, stopwatch } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted, runs } from './tally.ts'
import type { Wire } from './wire.ts'

const LEASES = 40
/** Seconds in which all is done once the target is back. */
const DONE_WITHIN = 60
/** What jit itself fails with, before there is a child. */
const NOT_STARTED = 125

const FAULTS: readonly { what: string; begin: (line: Wire) => void }[] = [
  { what: 'down', begin: (line) => line.reset() },
  { what: 'hanging', begin: (line) => line.cut() },
]

const exec = (environment: string) => [
  'exec',
  '--env',
  environment,
  '--task',
  'deploy',
  '--target',
  `${environment}-db`,
  '--',
  'true',
]

// Side by side: they wait for most of the time.
test.concurrent.for(STORES.flatMap((store) => FAULTS.map((fault) => ({ store, ...fault }))))(
  'a target that is $what: a clear error to whoever asks, bounded retries until it is back, others unharmed ($store)',
  async ({ store, what, begin }, { expect }) => {
    await using stage = await Stage.set({ store })
    await stage.start()
    const home = await stage.person('dev')
    const holdings = await Promise.all(Array.from({ length: LEASES }, () => new Client(home).ask()))
    begin(stage.line)
    const receipts = Promise.all(holdings.map((holding) => holding.release()))
    const refused = await timed(home, exec('dev'))
    const others = await timed(home, exec('staging'))
    // The "for long": npm run test:faults -- --runs 600 target-down
    await wait(runs(5) * 1000)
    const attempts = await attemptsOf(stage)
    const said = (await receipts).filter((one) => typeof one !== 'string')
    stage.line.restore()
    const isDone = async () => (await openLeases(stage.books)) === 0
    const done = await secondsUntil(isDone, { within: 120, what: 'all leases revoked' })
    const left = await stage.database.leases()
    const figures = {
      leases: LEASES,
      attempts,
      'refused s': refused.seconds,
      'other target s': others.seconds,
      'done s': done,
      left: left.length,
    }
    counted({ fault: `target ${what}`, store, figures })
    expect(refused).toMatchObject({
      code: NOT_STARTED,
      stderr: expect.stringContaining('dev-db: '),
    })
    expect(others.code).toBe(0)
    expect(said.flatMap(({ leases }) => leases.map(({ outcome }) => outcome))).toEqual(
      Array.from({ length: LEASES }, () => 'retrying'),
    )
    expect(done).toBeLessThan(DONE_WITHIN)
    expect(left).toEqual([])
    expect(attempts).toBeLessThan(LEASES * 2 + runs(5) * 4)
  },
)

test.each(STORES)('a slow target: what it takes its time for comes to be (%s)', async (store) => {
  await using stage = await Stage.set({ store })
  await stage.start()
  const home = await stage.person('dev')
  stage.line.slow(150)
  const slow = await timed(home, exec('dev'))
  const isDone = async () => (await openLeases(stage.books)) === 0
  await secondsUntil(isDone, { within: LATE, what: 'the lease revoked' })
  counted({
    fault: 'target slow',
    store,
    figures: { 'ms each way': 150, 'jit exec s': slow.seconds },
  })
  expect(slow.code).toBe(0)
})

async function timed(home: Home, args: readonly string[]) {
  const seconds = stopwatch()
  const { code, stderr } = await home.run([...args])
  return { code, stderr, seconds: seconds() }
}

/** How often brokers tried to revoke, or put it off, so far. */
async function attemptsOf({ books }: Stage): Promise<number> {
  const [row] = await books.query<{ attempts: number }>(
    'SELECT sum(attempts) AS attempts FROM leases',
  )
  return Number(row?.attempts)
}
