import { setTimeout as wait } from 'node:timers/promises'
import { test } from 'vitest'
import { PING_INTERVAL_SECONDS } from '../../src/protocol/lifeline.ts'
import { Client, type Holding } from './client.ts'
import { Island, noIslands } from './island.ts'
import { LATE, secondsUntil, stopwatch } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted } from './tally.ts'
import { Tenant } from './tenants.ts'
import type { Wire } from './wire.ts'

/** Seconds that a lost lifeline may take to come back. */
const GRACE = 8
/** How long it takes at most to notice that nothing comes any more: three pings, and one that is due. */
const NOTICED = 12
const CLIENTS = 20
/** Seconds of the commands that lose their broker for good. */
const TTL = 45

interface Cut {
  readonly what: string
  readonly begin: (wire: Wire) => void
  /** Seconds until the network is whole again. */
  readonly lasts: number
  /** Whether connections survive it: then nobody has to come back. */
  readonly survived?: boolean
}

const CUTS: readonly Cut[] = [
  { what: 'reset, and refused for 3 s', begin: (wire) => wire.reset(), lasts: 3 },
  { what: 'half closed', begin: (wire) => wire.halfClose(), lasts: 0 },
  {
    what: 'slowed down by 1 s each way',
    begin: (wire) => wire.slow(1000),
    lasts: 8,
    survived: true,
  },
  { what: 'dropped for 5 s', begin: (wire) => wire.cut(), lasts: 5, survived: true },
  { what: 'dropped until both sides noticed', begin: (wire) => wire.cut(), lasts: NOTICED + 2 },
]

/** What each grant is resumed with next: another after each resume. */
async function secretsOf({ books }: Stage): Promise<Map<string, string>> {
  const rows = await books.query<{ id: string; resume_hash: string }>(
    `SELECT id, resume_hash FROM grants WHERE state = 'active'`,
  )
  return new Map(rows.map(({ id, resume_hash }) => [id, resume_hash]))
}

/** What grants were ended by. */
async function endingsOf({ books }: Stage): Promise<string[]> {
  const rows = await books.query<{ ended_by: string }>('SELECT DISTINCT ended_by FROM grants')
  return rows.map(({ ended_by }) => ended_by)
}

/** Cuts the network and mends it. @returns seconds after it was whole until everybody had resumed, and who hadn't */
async function tried(stage: Stage, { what, begin, lasts, survived = false }: Cut) {
  const before = await secretsOf(stage)
  begin(stage.wire)
  await wait(lasts * 1000)
  stage.wire.restore()
  const resumed = async () => {
    const after = await secretsOf(stage)
    return [...before].every(([grant, secret]) => after.has(grant) && after.get(grant) !== secret)
  }
  // Until the next ping has gone round: two cuts in a row are one.
  if (survived) await wait(PING_INTERVAL_SECONDS * 1000 + 500)
  const seconds = survived
    ? 0
    : await secondsUntil(resumed, { within: GRACE + LATE, what: `resumed after: ${what}` })
  const after = await secretsOf(stage)
  return { seconds, lost: [...before.keys()].filter((grant) => !after.has(grant)).length }
}

test.concurrent.for(STORES)(
  'the network is cut and comes back: every lifeline resumes within the grace, and no command is stopped (%s)',
  async (store, { expect }) => {
    await using stage = await Stage.set({ store, config: { lifeline: { grace: `${GRACE}s` } } })
    await stage.start()
    const home = await stage.person('dev')
    using tenant = new Tenant(home)
    const role = await tenant.role()
    const client = new Client(home)
    const held = await Promise.all(Array.from({ length: CLIENTS }, () => client.ask()))
    for (const cut of CUTS) {
      const { seconds, lost } = await tried(stage, cut)
      const figures = { lifelines: CLIENTS + 1, lost, 'resumed s': seconds }
      counted({ fault: `network ${cut.what}`, store, figures })
      expect(lost).toBe(0)
    }
    // Had one not resumed, it would be gone after this.
    await wait((GRACE + 1) * 1000)
    expect(await stage.database.leases()).toHaveLength(CLIENTS + 1)
    for (const receipt of await Promise.all(held.map((holding) => holding.release()))) {
      expect(receipt).toMatchObject({ ended_by: 'exit', leases: [{ outcome: 'revoked' }] })
    }
    expect(tenant.notes).toEqual([`in ${role}`])
    tenant.jit.kill('SIGTERM')
    await tenant.ended
    await stage.database.empty()
  },
)

test.concurrent.for(STORES)(
  'the network is cut for good: the broker revokes after the grace, and jit stops its command at its own deadline (%s)',
  async (store, { expect }) => {
    await using stage = await Stage.set({ store, config: { lifeline: { grace: `${GRACE}s` } } })
    await stage.start()
    const home = await stage.person('dev')
    const since = stopwatch()
    using tenant = new Tenant(home, { flags: ['--ttl', `${TTL}s`] })
    await tenant.role()
    const client = new Client(home)
    const held: Holding[] = await Promise.all(Array.from({ length: CLIENTS }, () => client.ask()))
    stage.wire.cut()
    const seconds = stopwatch()
    await stage.database.empty(NOTICED + GRACE + LATE)
    const revoked = seconds()
    const endings = await endingsOf(stage)
    expect(await tenant.note('cut')).toBe('cut')
    expect(await tenant.note('refused')).toMatch(/^refused (28P01|28000|3D000)$/)
    await tenant.note('stopped', TTL + LATE)
    const stopped = since()
    counted({
      fault: 'network cut for good',
      store,
      figures: {
        lifelines: CLIENTS + 1,
        'revoked s': revoked,
        'stopped s after its request': stopped,
        ttl: TTL,
      },
    })
    for (const holding of held) holding.vanish()
    expect(endings).toEqual(['lifeline'])
    expect(stopped).toBeGreaterThan(TTL - 1)
    expect(stopped).toBeLessThan(TTL + LATE)
  },
)

/** Seconds: both sides notice, and it comes back within the grace. */
const LINK_DOWN = NOTICED + 2
/** Seconds of the command whose link goes down twice. */
const ISLAND_TTL = 60

test.skipIf(noIslands).concurrent.for(STORES)(
  "a client's link goes down: its command goes on if it comes back within the grace; if not, the broker revokes, and jit stops it at its own deadline (%s)",
  async (store, { expect }) => {
    await using stage = await Stage.set({ store, config: { lifeline: { grace: `${GRACE}s` } } })
    await stage.start()
    const home = await stage.person('dev')
    await using island = await Island.with([stage.wire.port, stage.line.port])
    const since = stopwatch()
    using tenant = new Tenant(home, {
      flags: ['--ttl', `${ISLAND_TTL}s`],
      within: (command) => island.on(command),
    })
    const role = await tenant.role()
    const before = await secretsOf(stage)
    island.link('down')
    await wait(LINK_DOWN * 1000)
    island.link('up')
    const isResumed = async () => {
      const after = await secretsOf(stage)
      return [...before].every(([grant, secret]) => ![undefined, secret].includes(after.get(grant)))
    }
    const resumed = await secondsUntil(isResumed, { within: GRACE + LATE, what: 'resumed' })
    const notes = tenant.notes
    island.link('down')
    const seconds = stopwatch()
    await stage.database.empty(NOTICED + GRACE + LATE)
    const revoked = seconds()
    const endings = await endingsOf(stage)
    await tenant.note('stopped', ISLAND_TTL + LATE)
    const stopped = since()
    counted({
      fault: 'link down',
      store,
      figures: {
        'down s': LINK_DOWN,
        'resumed s': resumed,
        'revoked s': revoked,
        'stopped s after its request': stopped,
        ttl: ISLAND_TTL,
      },
    })
    expect(notes).toEqual([`in ${role}`])
    expect(endings).toEqual(['lifeline'])
    expect(stopped).toBeGreaterThan(ISLAND_TTL - 1)
    expect(stopped).toBeLessThan(ISLAND_TTL + LATE)
  },
)
