import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { retryPause } from '../../src/broker/revocation-queue.ts'
import { JitError } from '../../src/lib/errors.ts'
import { FakeTarget, Harness, request } from './harness.ts'
import { querySql } from './harness-store.ts'

const directories: string[] = []

/** A directory that outlives one broker. */
function dataDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'jit-revocation-'))
  directories.push(directory)
  return directory
}

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
})

const OUTCOME = { code: 0, signal: null }
const unreachable = () => new JitError('target_unreachable', 'connection refused')

describe('a revocation', () => {
  test('that fails is retried until it is confirmed; the receipt says so meanwhile', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    let failures = 3
    harness.shop.beforeRevoke = async () => {
      if (failures-- > 0) throw unreachable()
    }
    const { line, granted } = await client.grant()
    line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    const { receipt } = await line.next('released')
    expect(receipt.leases[0]).toMatchObject({ outcome: 'retrying', detail: 'connection refused' })
    const seen = async () =>
      (await client.call('GET', `/v1/grants/${granted.grant}`)).body.grants[0]
    expect(await seen()).toMatchObject({
      ...{ state: 'revoking', leases: [{ problem: 'connection refused' }] },
    })
    await expect.poll(seen).toMatchObject({ state: 'revoked' })
    expect(harness.shop.handles.size).toBe(0)
  })

  test.each([
    [9, 'together, before their turns', 9],
    [8, 'each in its turn', 0],
  ])(
    'of %i leases at once disconnects them %s; what fails there holds up none',
    async (count, _, expected) => {
      await using harness = await Harness.start()
      const client = await harness.client()
      const disconnected: string[] = []
      Object.assign(harness.shop, {
        async disconnect(leases: readonly { handle: string }[]) {
          disconnected.push(...leases.map(({ handle }) => handle))
          throw unreachable()
        },
      })
      for (let one = 0; one < count; one += 1) await client.grant()
      const handles = [...harness.shop.handles]
      const { body } = await client.call('POST', '/v1/revoke', { scope: 'mine' })
      expect(body.receipts.map(({ state }: { state: string }) => state)).toEqual(
        handles.map(() => 'revoked'),
      )
      expect(disconnected.toSorted()).toEqual(expected === 0 ? [] : handles.toSorted())
    },
  )

  test('at a target that hangs holds up no other target', async () => {
    const targets = { shop: new FakeTarget('shop'), slow: new FakeTarget('slow') }
    await using harness = await Harness.start({ targets })
    const client = await harness.client()
    const { promise: hold, resolve: release } = Promise.withResolvers<void>()
    targets.slow.beforeRevoke = () => hold
    const slow = await client.grant({ targets: ['slow'] })
    slow.line.send({ type: 'release', grant: slow.granted.grant, outcome: OUTCOME })
    const fast = await client.grant({ targets: ['shop'] })
    fast.line.send({ type: 'release', grant: fast.granted.grant, outcome: OUTCOME })
    expect((await fast.line.next('released')).receipt.state).toBe('revoked')
    expect((await slow.line.next('released')).receipt.leases[0]?.outcome).toBe('retrying')
    release()
  })

  test('of what is gone already is a success', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { line, granted } = await client.grant()
    harness.shop.handles.clear()
    line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    const { receipt } = await line.next('released')
    expect(receipt.leases[0]).toMatchObject({ outcome: 'revoked', detail: 'was gone already' })
  })

  test('absence at another system is not "gone"', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { line, granted } = await client.grant()
    harness.shop.where = 'system-2'
    await new Promise((resolve) => setTimeout(resolve, 5100))
    line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    const { receipt } = await line.next('released')
    expect(receipt.leases[0]).toMatchObject({ outcome: 'retrying' })
    expect(receipt.leases[0]?.detail).toContain('another system')
    expect(harness.shop.handles.size).toBe(1)
  }, 15_000)

  test('pauses grow, are jittered and never longer than half a minute', () => {
    const pauses = (random: number) => [0, 1, 5, 50].map((n) => retryPause(n, () => random))
    expect(pauses(1)).toEqual([500, 1000, 16_000, 30_000])
    expect(pauses(0)).toEqual([250, 500, 8000, 15_000])
  })

  test('of a token that cannot be revoked: the receipt says until when it works', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { line, granted } = await client.grant({ task: 'plan', targets: ['open'] })
    line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    const { receipt } = await line.next('released')
    expect(receipt.state).toBe('revoking')
    expect(receipt.leases[0]).toMatchObject({ outcome: 'expires_at', revocability: 'ttl-only' })
    const left = Date.parse(String(receipt.leases[0]?.at)) - Date.now()
    expect(left).toBeGreaterThan(14 * 60_000)
  })
})

describe('a mint', () => {
  test('that fails ends the grant, and what one target made is undone', async () => {
    const targets = { shop: new FakeTarget('shop'), other: new FakeTarget('other') }
    Object.assign(targets.other, { variables: ['OTHER'] })
    await using harness = await Harness.start({ targets })
    const client = await harness.client()
    targets.other.beforeMint = async () => {
      throw unreachable()
    }
    const line = await client.connect()
    line.send({ type: 'request', key: 'k', details: request({ targets: ['shop', 'other'] }) })
    await expect(line.next('granted')).rejects.toThrow('target_unreachable')
    await expect.poll(() => targets.shop.handles.size).toBe(0)
    await expect
      .poll(async () => (await client.call('GET', '/v1/grants')).body)
      .toEqual({ grants: [] })
  })

  test('whose answer is lost is found by its name', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    harness.shop.afterMint = async () => {
      throw unreachable()
    }
    const line = await client.connect()
    line.send({ type: 'request', key: 'k', details: request() })
    await expect(line.next('granted')).rejects.toThrow('target_unreachable')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
  })

  test('past the limit of live grants is refused', async () => {
    await using harness = await Harness.start({ limits: 'limits: { grants_per_principal: 2 }' })
    const client = await harness.client()
    await client.grant()
    await client.grant()
    await expect(client.grant()).rejects.toThrow('limit_reached')
    expect(harness.shop.handles.size).toBe(2)
  })
})

describe('the deadline', () => {
  test("is kept by the store's clock, whatever the timers say", async () => {
    let now = Date.now()
    await using harness = await Harness.start({ now: () => now })
    const client = await harness.client()
    const { line } = await client.grant({ ttl: 600 })
    now += 601_000
    expect((await line.next('revoked')).ended_by).toBe('ttl')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
  })

  test('that passed while no broker ran is kept at the next start', async () => {
    const directory = dataDirectory()
    const targets = { shop: new FakeTarget('shop') }
    let now = Date.now()
    const first = await Harness.start({ directory, targets, now: () => now })
    await (await first.client()).grant({ ttl: 600 })
    await first.broker.stop()
    expect(targets.shop.handles.size).toBe(1)
    now += 601_000
    const second = await Harness.start({ directory, targets, now: () => now })
    await expect.poll(() => targets.shop.handles.size).toBe(0)
    await second.broker.stop()
  })
})

test('what a broker claimed as it stopped is revoked by the next', async () => {
  const directory = dataDirectory()
  const targets = { shop: new FakeTarget('shop') }
  const first = await Harness.start({ directory, targets })
  const { line, granted } = await (await first.client()).grant()
  targets.shop.beforeRevoke = () => Promise.reject(new JitError('target_refused', 'not now'))
  line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
  await line.next('released')
  await first.broker.stop()
  await querySql(directory, `UPDATE leases SET claimed_by = 'n_left'`)
  targets.shop.beforeRevoke = async () => {}
  const second = await Harness.start({ directory, targets })
  await expect.poll(() => targets.shop.handles.size).toBe(0)
  await second.broker.stop()
})

describe('the sweep', () => {
  test('at a start undoes what outlived its lease, and touches nothing of others', async () => {
    const directory = dataDirectory()
    const targets = { shop: new FakeTarget('shop') }
    const first = await Harness.start({ directory, targets })
    const { line, granted } = await (await first.client()).grant()
    const handle = String(granted.credentials[0]?.handle)
    line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    await line.next('released')
    await first.broker.stop()
    // Made by the first, in a time that the ledger remembers whole, and yet without a lease.
    const older = `${handle.slice(0, 6)}0000000000${handle.slice(16)}`
    for (const name of [handle, older, 'jother0000', 'postgres']) targets.shop.handles.add(name)
    const second = await Harness.start({ directory, targets })
    const left = ['jother0000', 'postgres']
    await expect.poll(() => [...targets.shop.handles].sort()).toEqual(left)
    await second.broker.stop()
  })

  test('a target with live leases cannot be removed', async () => {
    const directory = dataDirectory()
    const first = await Harness.start({ directory })
    await (await first.client()).grant()
    await first.broker.stop()
    const targets = { another: new FakeTarget('another') }
    await expect(Harness.start({ directory, targets })).rejects.toThrow('live leases')
  })

  test('nor can it be pointed elsewhere', async () => {
    const directory = dataDirectory()
    const shop = new FakeTarget('shop')
    const first = await Harness.start({ directory, targets: { shop } })
    await (await first.client()).grant()
    await first.broker.stop()
    shop.where = 'system-2'
    await expect(Harness.start({ directory, targets: { shop } })).rejects.toThrow('another system')
  })
})

describe('policies', () => {
  test('read again, they end the grants that they no longer permit; a bad set changes nothing', async () => {
    await using harness = await Harness.start()
    const { writeFileSync } = await import('node:fs')
    const client = await harness.client()
    const { line } = await client.grant()
    const file = join(harness.directory, 'tasks.cedar')
    writeFileSync(file, 'permit (')
    await expect(harness.broker.reload()).rejects.toThrow('tasks.cedar')
    expect(harness.shop.handles.size).toBe(1)
    writeFileSync(
      file,
      '@id("nobody") forbid (principal is Human, action == Action::"deploy", resource);',
    )
    await harness.broker.reload()
    expect((await line.next('revoked')).ended_by).toBe('policy')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
  })
})

describe('the store', () => {
  test('holds no credential, and an undo only until the revocation is confirmed', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { line, granted } = await client.grant()
    const handle = String(granted.credentials[0]?.handle)
    const rows = async () => {
      const [lease] = await querySql(harness.directory, 'SELECT undo FROM leases')
      const tables = ['grants', 'leases', 'audit', 'sessions', 'replay']
      const all = tables.map((table) => querySql(harness.directory, `SELECT * FROM ${table}`))
      return { undo: lease?.undo, dump: JSON.stringify(await Promise.all(all)) }
    }
    const during = await rows()
    expect(during.undo).toBeTruthy()
    expect(during.dump).not.toContain(`undo-${handle}`)
    expect(during.dump).not.toContain(`secret-of-${handle}`)
    line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    await line.next('released')
    expect((await rows()).undo).toBeNull()
  })
})
