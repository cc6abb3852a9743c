import { JitError } from '../lib/errors.ts'
import type { VerifiedIdentity } from './identity.ts'
import { takeOnce } from './replay.ts'
import { endOf } from './session-record.ts'
import type { SessionEnd } from './sessions.ts'
import type { Tx } from './store/store.ts'

/** Identity tokens are taken up to 5 minutes after `iat`, give or take clocks: remembered longer. */
const REMEMBERED_MS = 15 * 60_000
/** Ends after which a job's next step may come with the token that the one before it had. */
const MADE_ROOM: readonly SessionEnd[] = ['logout', 'idle']

/**
 * Uses an identity token for the session of a key. One made for a single use works once. One that a
 * job has for its whole life works for one key at a time: as long as the session that it opened
 * lives, whoever copied it can do nothing with it.
 * @returns what the session's row is to remember
 * @throws JitError `token_invalid` when it was used before, or is in use
 */
export async function useToken(
  tx: Tx,
  { identity, ...use }: { identity: VerifiedIdentity; jkt: string; now: number; idle: number },
): Promise<{ token_hash: string | null }> {
  const { tokenHash } = identity
  if (identity.uses === 'once') {
    const expiresAt = use.now + REMEMBERED_MS
    if (await takeOnce(tx, { scope: 'id-token', value: tokenHash, expiresAt })) {
      return { token_hash: null }
    }
    throw new JitError('token_invalid', 'this identity token was used before')
  }
  const other = await tx
    .selectFrom('sessions')
    .selectAll()
    .where('token_hash', '=', tokenHash)
    .where('jkt', '!=', use.jkt)
    .executeTakeFirst()
  if (other) {
    const ended = endOf(other, use)
    if (ended === undefined || !MADE_ROOM.includes(ended)) throw inUse()
    await tx
      .updateTable('sessions')
      .set({ token_hash: null })
      .where('sid', '=', other.sid)
      .execute()
  }
  return { token_hash: tokenHash }
}

function inUse(): JitError {
  return new JitError('token_invalid', 'another session lives on this identity token', {
    hint: 'sign in once for all steps of the job: jit login --workload',
  })
}
