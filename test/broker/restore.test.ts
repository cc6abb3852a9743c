import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Incarnation } from '../../src/broker/incarnation.ts'
import type { Store } from '../../src/broker/store/store.ts'
import { leaseHandle, markedId } from '../../src/lib/handle.ts'
import { FakeTarget, Harness } from './harness.ts'
import { auditOf, dropStore, storeIn } from './harness-store.ts'
import { copyStore, openStore } from './store-copy.ts'

let directory: string
let shop: FakeTarget
let time: number
const now = () => time

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'jit-restore-'))
  shop = new FakeTarget('shop')
  shop.now = now
  time = Date.now()
})
afterEach(async () => {
  await dropStore(directory)
  rmSync(directory, { recursive: true, force: true })
})

const limits = 'metrics: { token: env:SECRET }'
const start = () => Harness.start({ directory, now, targets: { shop }, limits })
/** A grant whose client is gone without a word. */
async function grantLost(harness: Harness, ttl?: number): Promise<string> {
  const { line, granted } = await (await harness.client()).grant(ttl === undefined ? {} : { ttl })
  line.cut()
  return String(granted.credentials[0]?.handle)
}

/**
 * Two grants, and a store that remembers only the first: the broker dies at once after the second, and
 * another starts a minute later on the backup.
 */
async function restored(): Promise<{ harness: Harness; known: string; forgotten: string }> {
  const first = await start()
  const known = await grantLost(first)
  const copy = await copyStore(directory)
  const forgotten = await grantLost(first)
  await first.broker.stop()
  await copy.restore()
  time += 60_000
  return { harness: await start(), known, forgotten }
}

const readiness = async ({ url }: Harness) => (await fetch(`${url}/readyz`)).json()
const eventsOf = (name: string) => auditOf(directory, name)

describe('a restored ledger', () => {
  test('revokes what was active in the backup once its grace is over, and leaves alone what it forgot', async () => {
    const { harness, known, forgotten } = await restored()
    await expect.poll(() => shop.handles.has(known)).toBe(false)
    await expect.poll(() => readiness(harness)).toMatchObject({ quarantined: 1, forked: false })
    expect(await eventsOf('lease.quarantined')).toMatchObject([
      { handle: forgotten, forked: false },
    ])
    const headers = { Authorization: 'Bearer introspection-secret' }
    const metrics = await (await fetch(`${harness.url}/metrics`, { headers })).text()
    expect(metrics).toMatch(/^jit_quarantined 1$/m)
    expect(metrics).toMatch(/^jit_forked 0$/m)
    expect(harness.log.join('\n')).toContain('was an older copy restored?')
    expect(shop.handles).toEqual(new Set([forgotten]))
    await harness.broker.stop()
  })

  test('still leaves it alone when new leases were made, and after another start', async () => {
    const { harness, forgotten } = await restored()
    await grantLost(harness)
    await expect.poll(() => shop.handles).toEqual(new Set([forgotten]))
    await harness.broker.stop()
    time += 60_000
    const again = await start()
    await grantLost(again)
    await expect.poll(() => shop.handles).toEqual(new Set([forgotten]))
    expect(await readiness(again)).toMatchObject({ quarantined: 1 })
    expect(await eventsOf('lease.quarantined')).toHaveLength(1)
    await again.broker.stop()
  })

  test('revokes it when an operator says that its maker is gone', async () => {
    const { harness, forgotten } = await restored()
    await expect.poll(() => readiness(harness)).toMatchObject({ quarantined: 1 })
    await harness.operate(({ quarantine }) => quarantine.adopt([forgotten], 'dana'))
    await expect.poll(() => shop.handles.has(forgotten)).toBe(false)
    await expect.poll(() => readiness(harness)).toMatchObject({ quarantined: 0 })
    expect(await eventsOf('lease.adopted')).toMatchObject([{ handle: forgotten, operator: 'dana' }])
    expect(await eventsOf('lease.stray_revoked')).toMatchObject([{ handle: forgotten }])
    await harness.broker.stop()
  })

  test('tries again where the target does not answer', async () => {
    const { harness, forgotten } = await restored()
    await expect.poll(() => readiness(harness)).toMatchObject({ quarantined: 1 })
    let attempts = 0
    shop.beforeRevoke = async () => {
      attempts += 1
      if (attempts < 3) throw new Error('connection refused')
    }
    await harness.operate(({ quarantine }) => quarantine.adopt([forgotten], 'dana'))
    await expect
      .poll(() => {
        time += 1000
        return shop.handles.has(forgotten)
      })
      .toBe(false)
    expect(attempts).toBeGreaterThanOrEqual(3)
    await harness.broker.stop()
  })

  test('revokes it by itself once the target refuses it, and not while its maker moves the deadline', async () => {
    const first = await start()
    const copy = await copyStore(directory)
    const forgotten = await grantLost(first)
    await first.broker.stop()
    await copy.restore()
    shop.deadlines.set(forgotten, time + 120_000)
    time += 60_000
    const harness = await start()
    await expect.poll(() => readiness(harness)).toMatchObject({ quarantined: 1 })
    shop.deadlines.set(forgotten, time + 600_000)
    time += 100_000
    await expect
      .poll(
        async () => (await harness.operate(({ quarantine }) => quarantine.open()))[0]?.deadline,
        { timeout: 10_000 },
      )
      .toBe(shop.deadlines.get(forgotten))
    expect(shop.handles.has(forgotten)).toBe(true)
    time += 600_000
    await expect.poll(() => shop.handles.has(forgotten)).toBe(false)
    await harness.broker.stop()
  })

  test('forgets what its maker revoked itself', async () => {
    const { harness, forgotten } = await restored()
    await expect.poll(() => readiness(harness)).toMatchObject({ quarantined: 1 })
    await harness.broker.stop()
    shop.handles.delete(forgotten)
    const again = await start()
    await expect.poll(() => readiness(again)).toMatchObject({ quarantined: 0 })
    expect(await eventsOf('lease.stray_gone')).toMatchObject([{ handle: forgotten }])
    await again.broker.stop()
  })

  test('opens no session again that was ended after the backup, once it is told that it is one', async () => {
    const first = await start()
    const client = await first.client()
    const copy = await copyStore(directory)
    await client.logout()
    await first.broker.stop()
    await copy.restore()
    const harness = await Harness.start({
      directory,
      now,
      targets: { shop },
      port: first.broker.port,
    })
    const statusOf = async () => (await client.call('GET', '/v1/grants')).status
    expect(await statusOf()).toBe(200)
    expect(await harness.operate(({ restored }) => restored())).toEqual({ sessions: 1 })
    expect(await statusOf()).toBe(401)
    await harness.broker.stop()
  })
})

describe('two brokers on copies of one ledger', () => {
  const begun = async (store: Store) => ({ store, own: await Incarnation.begin(store) })

  test('each know what the other makes, and that there is another', async () => {
    await storeIn(directory)
    const original = await begun(await openStore(directory, now))
    const copy = await copyStore(directory)
    time += 60_000
    const fork = await begun(await copy.open(now))
    await original.own.beat()
    time += 90_000
    await Promise.all([original.own.beat(), fork.own.beat()])
    const made = { original: original.own.mark, fork: fork.own.mark }
    const handle = (by: keyof typeof made) => leaseHandle('abcde', markedId(time, made[by]))
    const verdictOf = async (of: typeof fork, one: string) => (await of.own.judge([one])).get(one)
    const forked = { kind: 'unknown', mintedAt: time, forked: true }
    expect(await verdictOf(original, handle('fork'))).toEqual(forked)
    expect(await verdictOf(fork, handle('original'))).toEqual(forked)
    expect(await verdictOf(original, handle('original'))).toEqual({ kind: 'unsettled' })
    time += 60_000
    await original.own.beat()
    const before = leaseHandle('abcde', markedId(time - 60_000, made.original))
    expect(await verdictOf(original, before)).toEqual({ kind: 'ours' })
    await Promise.all([original.store.close(), fork.store.close()])
  })

  test("a name that no broker made is nobody's to revoke", async () => {
    await storeIn(directory)
    const { store, own } = await begun(await openStore(directory, now))
    const odd = `jabcde${'z'.repeat(26)}`
    expect((await own.judge([odd])).get(odd)).toEqual({
      kind: 'unknown',
      mintedAt: 0,
      forked: false,
    })
    await store.close()
  })
})
