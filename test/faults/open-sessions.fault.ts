import pg from 'pg'
import { expect, test } from 'vitest'
import { Client, type Holding } from './client.ts'
import { LATE, secondsUntil } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted } from './tally.ts'

const LEASES = 200
/** A session may hold so many lifelines. */
const EACH = 100
/** Asked for at the same time. */
const AT_ONCE = 25
/** Seconds. */
const ENDED_WITHIN = 2

test.each(STORES)(
  'open sessions of 200 leases, revoked at once: none stays open (%s)',
  async (store) => {
    await using stage = await Stage.set({
      store,
      settings: { max_connections: String(LEASES + 50) },
    })
    await stage.start()
    const homes = await Promise.all(['dev', 'lead'].map((login) => stage.person(login)))
    const holdings: Holding[] = []
    for (const client of homes.map((home) => new Client(home))) {
      for (let at = 0; at < EACH; at += AT_ONCE) {
        const asked = Array.from({ length: AT_ONCE }, () => client.ask())
        holdings.push(...(await Promise.all(asked)))
      }
    }
    const sessions = await Promise.all(holdings.map(signIn))
    const admin = new Client(await stage.person('admin'))
    const before = await openSessions(stage, holdings)
    const revoking = admin.broker.revokeMany({ scope: 'all' })
    const none = async () => (await openSessions(stage, holdings)) === 0
    const ended = await secondsUntil(none, { within: 60, what: 'no session open' })
    const { receipts } = await revoking
    const confirmed = receipts.filter(({ state }) => state === 'revoked').length
    await stage.database.empty()
    const figures = {
      sessions: before,
      'none open after s': ended,
      'confirmed at once': confirmed,
    }
    counted({ fault: 'sessions open at revoke', store, figures })
    await Promise.all(sessions.map((session) => session.end()))
    for (const holding of holdings) holding.vanish()
    expect(before).toBe(LEASES)
    expect(ended).toBeLessThan(ENDED_WITHIN + LATE)
  },
)

async function signIn({ url }: Holding): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  return client
}

async function openSessions({ database }: Stage, holdings: readonly Holding[]): Promise<number> {
  const [row] = await database.query<{ open: number }>(
    'SELECT count(*)::int AS open FROM pg_stat_activity WHERE usename = ANY ($1)',
    [holdings.map(({ role }) => role)],
  )
  return row?.open ?? 0
}
