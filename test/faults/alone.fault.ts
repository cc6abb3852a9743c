import { test } from 'vitest'
import { LATE, secondsUntil, stopwatch } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES } from './stores.ts'
import { counted } from './tally.ts'
import { Tenant } from './tenants.ts'

/** Seconds. */
const TTL = 10
const COMMANDS = 3

test.concurrent.for(STORES)(
  'the broker is gone for good: jit stops its command at the deadline, the target takes no sign-in past it, and a broker that comes back at last sweeps (%s)',
  async (store, { expect }) => {
    await using stage = await Stage.set({ store })
    const broker = await stage.start()
    const home = await stage.person('dev')
    const since = stopwatch()
    await using tenants = new AsyncDisposableStack()
    const commands = Array.from({ length: COMMANDS }, () =>
      tenants.use(new Tenant(home, { flags: ['--ttl', `${TTL}s`] })),
    )
    await Promise.all(commands.map((tenant) => tenant.role()))
    const began = since()
    await broker.kill()
    await Promise.all(commands.map((tenant) => tenant.note('stopped', TTL + LATE)))
    const stopped = since()
    for (const tenant of commands) expect(tenant.notes).toContain('past its time: refused 28P01')
    await stage.start()
    const isEmpty = async () => (await stage.database.leases()).length === 0
    const swept = await secondsUntil(isEmpty, { within: 60, what: 'swept' })
    counted({
      fault: 'broker gone for good',
      store,
      figures: {
        commands: COMMANDS,
        ttl: TTL,
        'stopped s': stopped,
        'swept s after it came back': swept,
      },
    })
    expect(stopped).toBeGreaterThan(TTL - 1)
    expect(stopped).toBeLessThan(TTL + began + LATE)
  },
)
