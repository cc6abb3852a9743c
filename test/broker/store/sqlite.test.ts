import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Kysely } from 'kysely'
import { Migrator } from 'kysely/migration'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeOnce } from '../../../src/broker/replay.ts'
import { migrations } from '../../../src/broker/store/migrations.ts'
import { openSqliteStore, sqliteDialect } from '../../../src/broker/store/sqlite.ts'
import type { Store } from '../../../src/broker/store/store.ts'
import { systemClock } from '../../../src/lib/clock.ts'

let directory: string
let store: Store

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'jit-store-'))
  store = await openSqliteStore(join(directory, 'ledger.db'), systemClock)
})

afterEach(async () => {
  await store.close()
  rmSync(directory, { recursive: true, force: true })
})

const keys = async () =>
  (await store.db.selectFrom('meta').select('key').orderBy('key').execute())
    .map(({ key }) => key)
    .filter((key) => key !== 'writer')
const put = (key: string) =>
  store.transaction(async (tx) => {
    await tx.insertInto('meta').values({ key, value: '' }).execute()
  })

test('only its owner can read it', () => {
  expect(statSync(join(directory, 'ledger.db')).mode & 0o777).toBe(0o600)
})

test('a transaction that fails leaves nothing, and spoils none that came with it', async () => {
  const results = await Promise.allSettled([
    put('a'),
    store.transaction(async (tx) => {
      await tx.insertInto('meta').values({ key: 'b', value: '' }).execute()
      throw new Error('no')
    }),
    put('a'),
    put('c'),
  ])
  expect(results.map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'rejected',
    'fulfilled',
  ])
  expect(await keys()).toEqual(['a', 'c'])
})

test('what was said to be done is there for another who opens the file', async () => {
  await put('durable')
  const other = new DatabaseSync(join(directory, 'ledger.db'), { readOnly: true })
  expect(other.prepare("SELECT key FROM meta WHERE key = 'durable'").all()).toHaveLength(1)
  other.close()
})

test('a second broker over the same file is refused, until the first is gone', async () => {
  const path = join(directory, 'ledger.db')
  await expect(openSqliteStore(path, systemClock)).rejects.toThrow('another broker uses the store')
  await store.close()
  store = await openSqliteStore(path, systemClock)
})

test('of many that take one value at once, one gets it', async () => {
  const once = { scope: 'dpop', value: 'k:j', expiresAt: Date.now() + 1000 } as const
  const taken = await Promise.all(
    Array.from({ length: 50 }, () => store.transaction((tx) => takeOnce(tx, once))),
  )
  expect(taken.filter(Boolean)).toHaveLength(1)
})

test('a file that is no database is refused, and not touched', async () => {
  const { writeFileSync, readFileSync } = await import('node:fs')
  const path = join(directory, 'other')
  writeFileSync(path, 'this is no database at all, but a text of some length\n'.repeat(50))
  await expect(openSqliteStore(path, systemClock)).rejects.toMatchObject({ code: 'store_failed' })
  expect(readFileSync(path, 'utf8')).toMatch(/^this is no database/)
})

test('a store from before there were nodes is taken on with what it holds', async () => {
  const path = join(directory, 'older.db')
  const older = new DatabaseSync(path)
  const db = new Kysely<unknown>({ dialect: sqliteDialect(older) })
  const { error } = await new Migrator({ db, provider: migrations }).migrateTo('2026-11-initial')
  expect(error).toBeUndefined()
  older.exec(`
    PRAGMA foreign_keys = OFF;
    INSERT INTO meta VALUES ('ledger_id', 'abcde');
    INSERT INTO sandboxes VALUES ('b_1', 's_1', '{}', 'p', '{}', '[]', '[]', 'v', 1, NULL, NULL);
  `)
  await db.destroy()
  const migrated = await openSqliteStore(path, systemClock)
  const [row] = await migrated.db.selectFrom('sandboxes').selectAll().execute()
  expect(row).toMatchObject({ id: 'b_1', held_by: null, grace_until: null })
  await migrated.close()
})

test('one that a newer version opened is refused, with that reason', async () => {
  const path = join(directory, 'newer.db')
  const newer = await openSqliteStore(path, systemClock)
  await newer.close()
  const database = new DatabaseSync(path)
  database.exec("INSERT INTO kysely_migration VALUES ('2999-01-later', '2999-01-01')")
  database.close()
  await expect(openSqliteStore(path, systemClock)).rejects.toMatchObject({
    ...{ code: 'store_failed', hint: 'it was opened by a newer version of jit: run that one' },
  })
})

test('a migration that breaks off leaves nothing that a next start could stumble over', async () => {
  const path = join(directory, 'fresh.db')
  const inTheWay = new DatabaseSync(path)
  inTheWay.exec('CREATE TABLE audit (mine TEXT)')
  await expect(openSqliteStore(path, systemClock)).rejects.toMatchObject({ code: 'store_failed' })
  const tables = inTheWay.prepare("SELECT name FROM sqlite_master WHERE name = 'meta'").all()
  expect(tables).toEqual([])
  inTheWay.exec('DROP TABLE audit')
  inTheWay.close()
  await (await openSqliteStore(path, systemClock)).close()
})
