import type { Store, Tx } from './store/store.ts'

/**
 * Takes a value that works once. Exact over all nodes: the store's key decides.
 * @param expiresAt when it would be refused anyway, milliseconds since the epoch
 * @returns `false` when it was taken before
 */
export async function takeOnce(
  tx: Tx,
  once: { scope: 'dpop' | 'id-token' | 'security-event'; value: string; expiresAt: number },
): Promise<boolean> {
  const result = await tx
    .insertInto('replay')
    .values({ scope: once.scope, value: once.value, expires_at: once.expiresAt })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n
}

/** Forgets values that would be refused anyway. */
export async function forgetExpired(store: Store): Promise<void> {
  await store.db.deleteFrom('replay').where('expires_at', '<', store.now()).execute()
}
