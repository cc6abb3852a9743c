import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { VerifiedIdentity } from '../../src/broker/identity.ts'
import { forgetExpired } from '../../src/broker/replay.ts'
import type { SessionRow } from '../../src/broker/store/schema.ts'
import { openSqliteStore } from '../../src/broker/store/sqlite.ts'
import type { Store } from '../../src/broker/store/store.ts'
import { useToken } from '../../src/broker/token-use.ts'

const MINUTE = 60_000

let directory: string
let store: Store
let time: number

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'jit-token-'))
  time = Date.now()
  const clock = { now: () => time, monotonic: () => performance.now() }
  store = await openSqliteStore(join(directory, 'ledger.db'), clock)
})

afterEach(async () => {
  await store.close()
  rmSync(directory, { recursive: true, force: true })
})

/** Presents a token that works once; what is forgotten by now is forgotten. */
async function present(token: { hash: string; expiresAt: number }) {
  await forgetExpired(store)
  const identity = { tokenHash: token.hash, uses: 'once', expiresAt: token.expiresAt / 1000 }
  return store.transaction((tx) =>
    useToken(tx, {
      ...{ identity: identity as VerifiedIdentity, jkt: 'key', held: undefined },
      ...{ now: time, idle: 1800 },
    }),
  )
}

test('a token that works once is remembered for as long as it could be taken', async () => {
  const token = { hash: 'a', expiresAt: time + 60 * MINUTE }
  await present(token)
  time += 55 * MINUTE
  await expect(present(token)).rejects.toMatchObject({ code: 'token_invalid' })
  time += 10 * MINUTE
  // Its own expiry refuses it by now: there is nothing left to remember.
  await forgetExpired(store)
  expect(await store.db.selectFrom('replay').selectAll().execute()).toEqual([])
})

test('a token that says it lives for years is remembered for a day', async () => {
  await present({ hash: 'b', expiresAt: time + 1e9 * MINUTE })
  time += 26 * 60 * MINUTE
  await forgetExpired(store)
  expect(await store.db.selectFrom('replay').selectAll().execute()).toEqual([])
})

test('one that a job keeps is remembered for a day once it was replaced, however short-lived the next one', async () => {
  const use = (hash: string, { jkt, held }: { jkt: string; held?: string }) => {
    const expiresAt = (time + MINUTE) / 1000
    const identity = { tokenHash: hash, uses: 'one-at-a-time', expiresAt } as VerifiedIdentity
    const session = held === undefined ? undefined : ({ token_hash: held } as SessionRow)
    return store.transaction((tx) =>
      useToken(tx, { identity, jkt, held: session, now: time, idle: 1800 }),
    )
  }
  expect(await use('next', { jkt: 'job', held: 'first' })).toEqual({ token_hash: 'next' })
  time += 23 * 60 * MINUTE
  await forgetExpired(store)
  await expect(use('first', { jkt: 'thief' })).rejects.toMatchObject({ code: 'token_invalid' })
})
