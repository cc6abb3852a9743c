import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createAuditLog } from '../../src/broker/audit.ts'
import { KeyRing } from '../../src/broker/key-ring.ts'
import { makeFirstKeys } from '../../src/broker/key-rotation.ts'
import { createSeal, newSealKey } from '../../src/broker/seal.ts'
import { openPostgresStore } from '../../src/broker/store/postgres.ts'
import type { Store } from '../../src/broker/store/store.ts'
import { dropStore, storeIn } from '../broker/harness-store.ts'
import { temporaryFolder } from '../folder.ts'

describe('a ledger in PostgreSQL', () => {
  let directory: string
  let store: Store

  beforeEach(async () => {
    directory = temporaryFolder('store')
    await storeIn(directory)
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    store = await openPostgresStore(readFileSync(join(directory, 'store.url'), 'utf8'), log)
  })
  afterEach(async () => {
    await store.close()
    await dropStore(directory)
  })

  test.each([
    ['durable', true],
    ['not durable', false],
  ])('a transaction that a stopped node leaves open is over soon, %s', async (_, durable) => {
    const limits = await store.transaction(
      async (tx) => {
        const { rows } = await sql<Record<string, string>>`
          SELECT current_setting('idle_in_transaction_session_timeout') AS idle,
            current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement`.execute(
          tx,
        )
        return rows[0]
      },
      { durable },
    )
    expect(limits).toEqual({ idle: '5s', lock: '8s', statement: '15s' })
  })

  test('what a node did itself is not read again and again for what others did', async () => {
    const seal = createSeal(newSealKey())
    await makeFirstKeys({ store, seal })
    const ring = await KeyRing.open(store, seal)
    const keys = ring.of('audit')
    const own = createAuditLog(store, { keys, node: 'n_own' })
    const other = createAuditLog(store, { keys, node: 'n_other' })
    const event = { event: 'broker.started', principal: null } as const
    await store.transaction((tx) => own.append(tx, event, event))
    await store.transaction((tx) => other.append(tx, event))
    await store.transaction((tx) => own.append(tx, event))
    const { entries, upTo } = await own.ofOthers(0)
    expect([entries.map(({ seq }) => seq), upTo]).toEqual([[3], 4])
  })

  test('readers that take long hold up no node that says that it lives', async () => {
    const slow = Array.from({ length: 12 }, () => sql`SELECT pg_sleep(2)`.execute(store.db))
    const first = Promise.race([
      ...slow.map((reader) => reader.then(() => 'a reader')),
      sql`SELECT 1`.execute(store.pulse).then(() => 'the pulse'),
    ])
    expect(await first).toBe('the pulse')
    await Promise.all(slow)
  })

  test('nothing is in an empty list, as in SQLite', async () => {
    const none = store.db.selectFrom('meta').selectAll().where('key', 'in', [])
    expect(await none.execute()).toEqual([])
    await store.transaction((tx) => tx.deleteFrom('meta').where('key', 'not in', []).execute())
    expect(await store.db.selectFrom('meta').selectAll().execute()).toEqual([])
  })
})
