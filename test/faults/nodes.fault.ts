import { setTimeout as wait } from 'node:timers/promises'
import { test } from 'vitest'
import type { FailurePoint } from '../../src/broker/failpoints.ts'
import type { BrokerProcess } from './broker-process.ts'
import { Client } from './client.ts'
import { deploys, Load } from './load.ts'
import { secondsUntil } from './seconds.ts'
import { Stage } from './stage.ts'
import { counted, runs } from './tally.ts'
import { Tenant } from './tenants.ts'

const NODES = 3
const HELD = 20
const AT_ONCE = 6

/** Several brokers over one PostgreSQL. */
async function cluster(config: Readonly<Record<string, unknown>> = {}): Promise<Stage> {
  const stage = await Stage.set({ store: 'postgres', config })
  await Promise.all(Array.from({ length: NODES }, () => stage.start()))
  return stage
}

test.concurrent('three nodes are restarted one after the other, under load: no command is stopped, nothing is lost', async ({
  expect,
}) => {
  await using stage = await cluster()
  const home = await stage.person('dev')
  const client = new Client(home)
  using tenant = new Tenant(home)
  const role = await tenant.role()
  const held = await Promise.all(Array.from({ length: HELD }, () => client.ask()))
  const load = new Load(deploys(client), AT_ONCE)
  const rounds = runs(1)
  for (let round = 0; round < rounds; round += 1) {
    for (const node of stage.nodes.filter(({ alive }) => alive)) {
      await node.stop()
      await stage.start()
    }
  }
  const { finished, lost, failed } = await load.stop()
  const ended = held.filter(({ ending }) => ending).length
  const receipts = await Promise.all(held.map((holding) => holding.release()))
  const revoked = receipts.filter(
    (one) => typeof one !== 'string' && one.ended_by === 'exit',
  ).length
  counted({
    fault: 'rolling restart of three nodes',
    store: 'postgres',
    figures: { restarts: NODES * rounds, finished, lost: lost.length + ended, ...failed, revoked },
  })
  expect({ lost, ended }).toEqual({ lost: [], ended: 0 })
  expect(JSON.stringify(failed), 'requests that failed').toBe('{}')
  expect(revoked).toBe(HELD)
  expect(tenant.notes).toEqual([`in ${role}`])
  tenant.jit.kill('SIGTERM')
  await tenant.ended
  await stage.database.empty()
})

/** Steps at which a node is stopped; another takes over meanwhile. */
const STOPS: readonly FailurePoint[] = [
  'mint:intended',
  'mint:created',
  'mint:recorded',
  'revoke:recorded',
  'revoke:undone',
]
/** Seconds: longer than a silent node is believed; and past the time in which a mint may happen. */
const ASLEEP = { 'taken over from': 9, 'past its mint window': 24 }

test.concurrent.for(Object.entries(ASLEEP))(
  'a node is suspended between two steps, until it is %s: no live role whose lease says revoked',
  async ([until, seconds], { expect }) => {
    await using stage = await Stage.set({ store: 'postgres' })
    const first = await stage.start()
    const client = new Client(await stage.person('dev'))
    const stopped: { node: BrokerProcess; asked: Promise<unknown> }[] = []
    for (const stopAt of STOPS) {
      const node = await stage.start({ stopAt })
      stage.spread([node])
      const asked = client.ask().then((holding) => holding.release())
      await secondsUntil(async () => node.stopped, { within: 30, what: `stopped at ${stopAt}` })
      stage.spread([first])
      stopped.push({ node, asked: asked.catch(() => {}) })
    }
    await wait(seconds * 1000)
    const asleep = await stage.strays()
    for (const { node } of stopped) node.thaw()
    await Promise.all(stopped.map(({ asked }) => asked))
    const swept = await stage.swept({ within: 60 })
    // A mint that came late would show itself by now.
    await wait(1000)
    const awake = await stage.strays()
    const undead = asleep.undead.length + awake.undead.length
    const unknown = asleep.unknown.length + awake.unknown.length
    counted({
      fault: `node suspended until it is ${until}`,
      store: 'postgres',
      figures: { stops: STOPS.length, undead, unknown, 'swept s': swept },
    })
    expect({ undead, unknown }).toEqual({ undead: 0, unknown: 0 })
    expect(await stage.database.leases()).toEqual([])
  },
)
