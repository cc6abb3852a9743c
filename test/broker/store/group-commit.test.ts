import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSqliteStore } from '../../../src/broker/store/sqlite.ts'
import type { Store, Tx } from '../../../src/broker/store/store.ts'
import { systemClock } from '../../../src/lib/clock.ts'

describe('transactions of one turn', () => {
  let directory: string
  let store: Store

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'jit-group-'))
    store = await openSqliteStore(join(directory, 'ledger.db'), systemClock)
  })
  afterEach(async () => {
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  })

  const put = (key: string) => (tx: Tx) =>
    tx.insertInto('meta').values({ key, value: key }).execute()
  const keys = async () => {
    const rows = await store.db.selectFrom('meta').select('key').orderBy('key').execute()
    return rows.map(({ key }) => key).filter((key) => key.startsWith('test-'))
  }

  it('a work that fails undoes itself, and none of those committed with it', async () => {
    const failing = async (tx: Tx) => {
      await put('test-undone')(tx)
      throw new Error('no')
    }
    const outcomes = await Promise.allSettled([
      store.transaction(put('test-before')),
      store.transaction(failing),
      store.transaction(put('test-after')),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: { message: 'no' } })
    expect(await keys()).toEqual(['test-after', 'test-before'])
  })

  it('each answers with what its own work answered', async () => {
    const works = [1, 2, 3].map((value) => store.transaction(async () => value))
    expect(await Promise.all(works)).toEqual([1, 2, 3])
  })

  it('a later work sees what an earlier one wrote', async () => {
    const [, seen] = await Promise.all([
      store.transaction(put('test-first')),
      store.transaction((tx) => tx.selectFrom('meta').selectAll().execute()),
    ])
    expect(seen.map(({ key }) => key)).toContain('test-first')
  })

  it('only what is not to be durable by itself leaves the wait for the disk to others', async () => {
    const { sql } = await import('kysely')
    const synchronous = async (db: Store['db'] | Tx) => {
      const { rows } = await sql<{ synchronous: number }>`PRAGMA synchronous`.execute(db)
      return rows[0]?.synchronous
    }
    const [NORMAL, FULL] = [1, 2]
    expect(await store.transaction(synchronous, { durable: false })).toBe(NORMAL)
    expect(await synchronous(store.db)).toBe(FULL)
    const mixed = [
      store.transaction(synchronous, { durable: false }),
      store.transaction(synchronous),
    ]
    expect(await Promise.all(mixed)).toEqual([FULL, FULL])
  })
})
