import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { createSeal, newSealKey } from '../../src/broker/seal.ts'
import { FakeTarget, Harness } from './harness.ts'

let directory: string
let shop: FakeTarget
const [FORMER, NEW] = [newSealKey(), newSealKey()]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'jit-seal-'))
  shop = new FakeTarget('shop')
  for (const [name, key] of Object.entries({ former: FORMER, new: NEW })) {
    writeFileSync(join(directory, `${name}.key`), `${key}\n`, { mode: 0o600 })
  }
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** A broker over the same store, with these seal keys. */
const start = (...keys: string[]) =>
  Harness.start({
    ...{ directory, targets: { shop } },
    limits: `seal_key: [${keys.map((name) => `'file:${name}.key'`).join(', ')}]`,
  })

/** Everything that is sealed in the store. */
function sealed(): { text: string; purpose: string }[] {
  const database = new DatabaseSync(join(directory, 'ledger.db'), { readOnly: true })
  const keys = database.prepare('SELECT kid, private_key FROM signing_keys').all()
  const leases = database.prepare('SELECT id, undo FROM leases WHERE undo IS NOT NULL').all()
  database.close()
  return [
    ...keys.map((row) => ({ text: String(row.private_key), purpose: `signing-key:${row.kid}` })),
    ...leases.map((row) => ({ text: String(row.undo), purpose: `undo:${row.id}` })),
  ]
}

// It looks into the file; how a value is sealed is the same in every store.
const inFile = test.skipIf(inject('storeServer') !== undefined)

inFile(
  'what a former key sealed is sealed anew at the start; then the former one is not needed',
  async () => {
    const first = await start('former')
    const client = await first.client()
    const { line, granted } = await client.grant()
    line.cut()
    await first.broker.stop()
    const second = await start('new', 'former')
    expect(second.log.join('\n')).toContain('sealed anew with the first key {"keys":3,"undos":1}')
    await second.broker.stop()
    const seal = createSeal(NEW)
    expect(sealed().map(({ text, purpose }) => seal.open(text, purpose))).toContain(
      `undo-${granted.credentials[0]?.handle}`,
    )
    const third = await start('new')
    await expect.poll(() => shop.handles.size).toBe(0)
    await third.broker.stop()
  },
)

inFile('with a wrong key nothing is served, and nothing changes', async () => {
  const first = await start('former')
  const { line } = await (await first.client()).grant()
  line.cut()
  await first.broker.stop()
  const before = sealed()
  await expect(start('new')).rejects.toMatchObject({
    ...{ code: 'store_failed', message: 'what the store keeps sealed does not open' },
    hint: expect.stringContaining('Name a former one after it'),
  })
  expect(sealed()).toEqual(before)
})
