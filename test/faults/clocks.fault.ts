import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import type { JitError } from '../../src/lib/errors.ts'
import type { Ended } from '../run/home.ts'
import { Client, type Holding } from './client.ts'
import { noFaketime, WallClock } from './faketime.ts'
import { LATE, secondsUntil, stopwatch } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { Asleep } from './suspend.ts'
import { counted } from './tally.ts'
import { Tenant } from './tenants.ts'

const HOUR = 3600
/** Seconds. */
const TTL = 12
const GRACE = 3
const SKEW = 60

const folder = mkdtempSync(join(tmpdir(), 'jit-clocks-'))
let clocks = 0
const newClock = () => new WallClock(join(folder, String(clocks++)))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** @returns seconds until the role is gone */
const untilGone = ({ database }: Stage, { role }: Pick<Holding, 'role'>, within = 60) =>
  secondsUntil(async () => !(await database.leases()).includes(role), { within, what: role })

describe.skipIf(noFaketime)('a wall clock that jumps', () => {
  test('an hour ahead at the broker: what is past its deadline by that clock is gone at once (sqlite)', async () => {
    await using stage = await Stage.set({ store: 'sqlite' })
    const clock = newClock()
    await stage.start({ env: clock.env })
    const holding = await new Client(await stage.person('dev')).ask()
    clock.set(HOUR)
    const gone = await untilGone(stage, holding)
    counted({ fault: 'broker clock +1 h', store: 'sqlite', figures: { 'gone s': gone } })
    expect(gone).toBeLessThan(LATE)
    expect(holding.ending).toEqual({ kind: 'deadline' })
  })

  test('an hour ahead at the broker: nothing ends early where the time is the database’s (postgres)', async () => {
    await using stage = await Stage.set({ store: 'postgres' })
    const clock = newClock()
    await stage.start({ env: clock.env })
    const client = new Client(await stage.person('dev'))
    const holding = await client.ask()
    clock.set(HOUR)
    // Deadlines are looked at each second.
    await wait(3000)
    const next = await client.ask()
    const roles = await stage.database.leases()
    counted({ fault: 'broker clock +1 h', store: 'postgres', figures: { held: roles.length } })
    expect(roles).toEqual(expect.arrayContaining([holding.role, next.role]))
    for (const one of [holding, next]) await one.release()
  })

  test.each(STORES)(
    'an hour back at the broker: nothing lives longer than it was granted for (%s)',
    async (store) => {
      await using stage = await Stage.set({ store })
      const clock = newClock()
      await stage.start({ env: clock.env })
      const client = new Client(await stage.person('dev'))
      const seconds = stopwatch()
      const holding = await client.ask({ ttl: TTL })
      clock.set(-HOUR)
      await untilGone(stage, holding)
      const gone = seconds()
      counted({ fault: 'broker clock -1 h', store, figures: { 'ttl s': TTL, 'gone s': gone } })
      expect(gone).toBeLessThan(TTL + LATE)
    },
  )

  test('over a restart: an hour passed while no broker ran is an hour passed (sqlite)', async () => {
    await using stage = await Stage.set({ store: 'sqlite', config: { lifeline: { grace: '1h' } } })
    const node = await stage.start()
    const holding = await new Client(await stage.person('dev')).ask()
    await node.kill()
    const clock = newClock()
    clock.set(HOUR)
    await stage.start({ env: clock.env })
    const gone = await untilGone(stage, holding)
    counted({ fault: 'restart an hour later', store: 'sqlite', figures: { 'gone s': gone } })
    expect(gone).toBeLessThan(LATE)
  })

  test.each(STORES)(
    'a minute off at the client, either way: nothing valid is refused (%s)',
    async (store) => {
      await using stage = await Stage.set({ store })
      await stage.start()
      const refused: Ended[] = []
      let commands = 0
      for (const skew of [SKEW, -SKEW]) {
        const home = await stage.person('dev')
        const clock = newClock()
        clock.set(skew)
        Object.assign(home.env, clock.env)
        for (const words of COMMANDS) {
          const ended = await home.run(words)
          commands += 1
          if (ended.code !== 0) refused.push(ended)
        }
      }
      const figures = { 'skew s': SKEW, commands, refused: refused.length }
      counted({ fault: 'client clock a minute off', store, figures })
      expect(refused).toEqual([])
    },
  )
})

const COMMANDS = [
  ['whoami'],
  ['grants', '--mine'],
  ['exec', '--env', 'dev', '--task', 'deploy', '--target', 'dev-db', '--', 'true'],
  ['request', '--env', 'dev', '--task', 'plan', '--target', 'dev-db', '--', 'true'],
  ['logout'],
]

// Side by side: they wait for most of the time.
describe('a process that stands still', () => {
  test.concurrent.for(STORES)(
    'the broker, beyond a deadline: the client stops its command itself, the role goes when it wakes (%s)',
    async (store, { expect }) => {
      await using stage = await Stage.set({ store })
      const node = await stage.start()
      using tenant = new Tenant(await stage.person('dev'), { flags: ['--ttl', `${TTL}s`] })
      const role = await tenant.role()
      const seconds = stopwatch()
      node.freeze()
      await tenant.note('stopped', TTL + LATE)
      const stopped = seconds()
      await wait(2000)
      node.thaw()
      const gone = await untilGone(stage, { role })
      counted({
        fault: 'broker suspended',
        store,
        figures: { 'ttl s': TTL, 'stopped s': stopped, 'gone after waking s': gone },
      })
      expect(stopped).toBeLessThan(TTL + LATE)
      expect(gone).toBeLessThan(LATE)
    },
  )

  test.concurrent.for(STORES)(
    'the client: its role goes after the grace, and it stops its command when it wakes (%s)',
    async (store, { expect }) => {
      await using stage = await Stage.set({ store, config: { lifeline: { grace: `${GRACE}s` } } })
      await stage.start()
      using tenant = new Tenant(await stage.person('dev'))
      const role = await tenant.role()
      tenant.jit.kill('SIGSTOP')
      const gone = await untilGone(stage, { role })
      tenant.jit.kill('SIGCONT')
      await tenant.ended
      counted({ fault: 'client suspended', store, figures: { 'grace s': GRACE, 'gone s': gone } })
      // Pings every 3 s, lost after 3.
      expect(gone).toBeLessThan(GRACE + LATE)
      expect(tenant.notes).toContain('stopped')
    },
  )

  test.concurrent.for(STORES)(
    'the target, beyond a deadline: the client stops its command itself, and nothing is left when it wakes (%s)',
    async (store, { expect }) => {
      await using stage = await Stage.set({ store })
      await stage.start()
      const home = await stage.person('dev')
      using tenant = new Tenant(home, { flags: ['--ttl', `${TTL}s`] })
      await tenant.role()
      const seconds = stopwatch()
      using asleep = new Asleep(stage.target.pid)
      const refused = await new Client(home).ask().catch((thrown: JitError) => thrown.code)
      await tenant.ended
      const stopped = seconds()
      asleep.wake()
      const isEmpty = async () => (await stage.database.leases()).length === 0
      const gone = await secondsUntil(isEmpty, { within: 120, what: 'every role gone' })
      counted({
        fault: 'target suspended',
        store,
        figures: { 'ttl s': TTL, 'stopped s': stopped, 'gone after waking s': gone },
      })
      expect(refused).toBe('target_unreachable')
      // It hangs in its last words, for which it is given ten seconds.
      expect(stopped).toBeLessThan(TTL + 10 + LATE)
      expect(gone).toBeLessThan(60)
      expect(await stage.strays()).toEqual({ unknown: [], undead: [] })
    },
  )
})
