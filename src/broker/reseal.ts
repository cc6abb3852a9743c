import { sealedAs } from './keys.ts'
import { undoSealedAs } from './ledger/lease-ledger.ts'
import type { Seal } from './seal.ts'
import type { Store } from './store/store.ts'

/** How many undo values are looked at between two turns of others. */
const BATCH = 500

/** What was sealed with a former key, and is with today's now. */
export interface Resealed {
  readonly keys: number
  readonly undos: number
}

/**
 * Opens everything that the store keeps sealed, so that a wrong seal key is known before anything is
 * served, and seals anew what a former key had sealed.
 * @throws JitError `store_failed`
 */
export async function reseal(store: Store, seal: Seal): Promise<Resealed> {
  return { keys: await resealKeys(store, seal), undos: await resealUndos(store, seal) }
}

async function resealKeys(store: Store, seal: Seal): Promise<number> {
  const rows = await store.db
    .selectFrom('signing_keys')
    .select(['kid', 'private_key'])
    .where('private_key', '!=', '')
    .execute()
  const former = rows.filter((row) => seal.isFormer(row.private_key, sealedAs(row.kid)))
  for (const { kid, private_key } of former) {
    const purpose = sealedAs(kid)
    await store.db
      .updateTable('signing_keys')
      .set({ private_key: seal.seal(seal.open(private_key, purpose), purpose) })
      .where('kid', '=', kid)
      // Another node may have, or have destroyed it.
      .where('private_key', '=', private_key)
      .execute()
  }
  return former.length
}

async function resealUndos(store: Store, seal: Seal): Promise<number> {
  let count = 0
  for (let after = ''; ; ) {
    const rows = await store.db
      .selectFrom('leases')
      .select(['id', 'undo'])
      .where('undo', 'is not', null)
      .where('id', '>', after)
      .orderBy('id')
      .limit(BATCH)
      .$narrowType<{ undo: string }>()
      .execute()
    for (const { id, undo } of rows) {
      const purpose = undoSealedAs(id)
      if (!seal.isFormer(undo, purpose)) continue
      count += 1
      await store.db
        .updateTable('leases')
        .set({ undo: seal.seal(seal.open(undo, purpose), purpose) })
        .where('id', '=', id)
        .where('undo', '=', undo)
        .execute()
    }
    const last = rows.at(-1)
    if (!last || rows.length < BATCH) return count
    after = last.id
  }
}
