import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AuditLog, createAuditLog } from '../../src/broker/audit.ts'
import { KeyRing } from '../../src/broker/key-ring.ts'
import { KeyRotation, makeFirstKeys } from '../../src/broker/key-rotation.ts'
import { KEY_PURPOSES, type KeyPurpose } from '../../src/broker/keys.ts'
import { createSeal, newSealKey, type Seal } from '../../src/broker/seal.ts'
import { openSqliteStore } from '../../src/broker/store/sqlite.ts'
import type { Store } from '../../src/broker/store/store.ts'
import { LogVerifier } from '../../src/client/audit-log.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const CONFIG = {
  keys: { rotate: 90 * 86_400, publish: 86_400 },
  session: { tokenTtl: 900, idle: 1800, maxAge: 43_200, delegatedMaxAge: 7200 },
  targets: { api: { ttl: { default: 900, max: 3600 } } },
} as unknown as ConstructorParameters<typeof KeyRotation>[0]['config']

let directory: string
let store: Store
let seal: Seal
let now: number

/** One of the nodes over the store. */
interface Node {
  readonly ring: KeyRing
  readonly rotation: KeyRotation
  readonly audit: AuditLog
}

async function node(): Promise<Node> {
  const ring = await KeyRing.open(store, seal)
  const audit = createAuditLog(store, { keys: ring.of('audit'), node: crypto.randomUUID() })
  const rotation = new KeyRotation({ store, seal, ring, audit, config: CONFIG })
  await rotation.noteLifetimes()
  return { ring, rotation, audit }
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'jit-keys-'))
  now = Date.UTC(2026, 0, 1)
  const clock = { now: () => now, monotonic: () => performance.now() }
  store = await openSqliteStore(join(directory, 'ledger.db'), clock)
  seal = createSeal(newSealKey())
  await makeFirstKeys({ store, seal })
})

afterEach(async () => {
  await store.close()
  rmSync(directory, { recursive: true, force: true })
})

const statesOf = ({ ring }: Node, purpose: KeyPurpose) =>
  ring.states(purpose).map(({ state }) => state)
const publishedBy = ({ ring }: Node, purpose: KeyPurpose) =>
  ring.published(purpose).map(({ kid }) => kid)
const sealedHalves = async () =>
  (await store.db.selectFrom('signing_keys').select('private_key').execute()).filter(
    ({ private_key }) => private_key !== '',
  ).length

test('a new store has one key of each purpose, however many nodes make it', async () => {
  await Promise.all([makeFirstKeys({ store, seal }), makeFirstKeys({ store, seal })])
  const one = await node()
  for (const purpose of KEY_PURPOSES) expect(statesOf(one, purpose)).toEqual(['signing'])
})

describe('a key that grows old', () => {
  test('is followed by one that is published a day before it signs', async () => {
    const one = await node()
    const first = one.ring.of('grant').signing().kid
    now += 89 * DAY - 1
    await one.rotation.keepUp()
    expect(statesOf(one, 'grant')).toEqual(['signing'])
    now += 1
    await one.rotation.keepUp()
    expect(statesOf(one, 'grant')).toEqual(['signing', 'published'])
    expect(publishedBy(one, 'grant')).toHaveLength(2)
    expect(one.ring.of('grant').signing().kid).toBe(first)
    now += DAY
    expect(statesOf(one, 'grant')).toEqual(['verifying', 'signing'])
    expect(one.ring.of('grant').signing().kid).not.toBe(first)
  })

  test('is published until the last token it signed is over', async () => {
    const one = await node()
    const first = one.ring.of('grant').signing().kid
    await one.rotation.rotate('grant')
    now += DAY + HOUR + 59_999
    await one.rotation.keepUp()
    expect(publishedBy(one, 'grant')).toContain(first)
    expect(await one.ring.of('grant').find(first)).toBeDefined()
    now += 1
    expect(statesOf(one, 'grant')).toEqual(['retired', 'signing'])
    expect(publishedBy(one, 'grant')).not.toContain(first)
    expect(await one.ring.of('grant').find(first)).toBeUndefined()
  })

  test('loses its private half a minute after its last signature', async () => {
    const one = await node()
    await one.rotation.rotate('session')
    now += DAY
    await one.rotation.keepUp()
    expect(await sealedHalves()).toBe(4)
    now += 60_000
    await one.rotation.keepUp()
    expect(await sealedHalves()).toBe(3)
  })

  test('lasts as long as the longest that any configuration let its tokens live', async () => {
    const one = await node()
    await store.db
      .updateTable('signing_keys')
      .set({ longest: 8 * HOUR })
      .execute()
    await one.rotation.noteLifetimes()
    await one.rotation.rotate('grant')
    now += DAY + 8 * HOUR
    expect(statesOf(one, 'grant')).toEqual(['verifying', 'signing'])
  })

  test('is followed by one, though all nodes see its age at once', async () => {
    const nodes = await Promise.all([node(), node(), node()])
    now += 89 * DAY
    await Promise.all(nodes.map(({ rotation }) => rotation.keepUp()))
    await Promise.all(nodes.map(({ ring }) => ring.refresh()))
    for (const one of nodes) expect(statesOf(one, 'audit')).toEqual(['signing', 'published'])
  })
})

test('another node finds a key that it does not know, when a token names it', async () => {
  const [one, other] = [await node(), await node()]
  const { kid } = await one.rotation.rotate('session')
  // Not at each wrong name: at most once in a second.
  await expect.poll(() => other.ring.of('session').find(kid)).toBeDefined()
})

test('asked for twice, the next key is the one that waits already', async () => {
  const one = await node()
  const next = await one.rotation.rotate('grant')
  expect(await one.rotation.rotate('grant')).toEqual(next)
})

describe('keys that somebody else may have', () => {
  test('verify nothing any more, those that waited to sign included; a new one signs at once', async () => {
    const one = await node()
    const burnt = [one.ring.of('grant').signing().kid]
    burnt.push((await one.rotation.rotate('grant')).kid)
    const { kid } = await one.rotation.withdraw('grant', { operator: 'dana' })
    expect(statesOf(one, 'grant')).toEqual(['withdrawn', 'withdrawn', 'signing'])
    expect(publishedBy(one, 'grant')).toEqual([kid])
    for (const gone of burnt) expect(await one.ring.of('grant').find(gone)).toBeUndefined()
    const { entries } = await one.audit.page(0)
    expect(entries.at(-1)).toMatchObject({
      ...{ event: 'broker.keys_withdrawn', purpose: 'grant', operator: 'dana', withdrawn: burnt },
    })
  })

  test('leave the other purposes alone', async () => {
    const one = await node()
    const before = one.ring.of('session').signing().kid
    await one.rotation.withdraw('grant', {})
    expect(one.ring.of('session').signing().kid).toBe(before)
  })
})

describe('the audit log', () => {
  const record = ({ audit }: Node) =>
    store.transaction((tx) => audit.append(tx, { event: 'broker.started', principal: null }))

  /** What a client finds; `keys` are those of today. */
  async function problems({ audit, ring }: Node, head?: Awaited<ReturnType<AuditLog['head']>>) {
    const verifier = new LogVerifier(undefined)
    const { entries, head: today } = await audit.page(0)
    const { seq } = head ?? today
    for (const entry of entries.filter((one) => one.seq <= seq)) verifier.add(entry)
    const keys = { keys: ring.publishedForAudit() }
    return (await verifier.finish(head ?? today, keys)).problems
  }

  test('verifies by each head that a key signed in its time, long after', async () => {
    const one = await node()
    await record(one)
    const kept = await one.audit.head()
    await one.rotation.rotate('audit')
    now += DAY + HOUR
    await one.rotation.keepUp()
    expect(await problems(one)).toEqual([])
    await record(one)
    expect(await problems(one)).toEqual([])
    now += 30 * DAY
    expect(await problems(one, kept)).toEqual([])
  })

  test('does not verify by a head that a key signed after its time', async () => {
    const [one, thief] = [await node(), await node()]
    await one.rotation.rotate('audit')
    now += DAY + 2 * 60_000
    await one.rotation.keepUp()
    // It never heard of the next key, and has the old one still.
    await record(thief)
    expect(await problems(one)).toEqual(["the head's signature is not the broker's"])
  })

  test('is signed anew by a node that had not heard that its key was withdrawn', async () => {
    const [one, late] = [await node(), await node()]
    await one.rotation.withdraw('audit', {})
    await record(late)
    expect(await problems(one)).toEqual(["the head's signature is not the broker's"])
    await late.rotation.keepUp()
    expect(await problems(one)).toEqual([])
  })
})
