import { JitError } from '../lib/errors.ts'
import type { VerifiedIdentity } from './identity.ts'
import { takeOnce } from './replay.ts'
import { endOf } from './session-record.ts'
import type { SessionEnd } from './sessions.ts'
import type { SessionRow } from './store/schema.ts'
import type { Tx } from './store/store.ts'

/** At least so long, and never longer than any token is taken: milliseconds. */
const REMEMBERED_MS = { least: 15 * 60_000, most: 25 * 3_600_000 }
/** Ends after which a job's next step may come with the token that the one before it had. */
const MADE_ROOM: readonly SessionEnd[] = ['logout', 'idle']

export interface TokenUse {
  readonly identity: VerifiedIdentity
  /** The key that comes with it. */
  readonly jkt: string
  /** The session of that key, if it has one. */
  readonly held: SessionRow | undefined
  readonly now: number
  readonly idle: number
}

/**
 * Uses an identity token for the session of a key. One made for a single use works once. One that a
 * job has for its whole life works for one key at a time: as long as the session that it opened
 * lives, whoever copied it can do nothing with it.
 * @returns what the session's row is to remember
 * @throws JitError `token_invalid` when it was used before, or is in use
 */
export async function useToken(tx: Tx, use: TokenUse): Promise<{ token_hash: string | null }> {
  const { tokenHash, uses } = use.identity
  if (uses === 'once') {
    await spend(tx, tokenHash, expiryOf(use))
    return { token_hash: null }
  }
  if (await isSpent(tx, tokenHash)) throw usedBefore()
  await makeRoom(tx, use)
  // The one before it, that the platform has replaced meanwhile, would otherwise be free again. How
  // long it lives is not known here.
  const before = use.held?.token_hash ?? tokenHash
  if (before !== tokenHash) await spend(tx, before, use.now + REMEMBERED_MS.most)
  return { token_hash: tokenHash }
}

/** Until when a token has to be remembered, in milliseconds since the epoch. */
function expiryOf({ identity, now }: TokenUse): number {
  const { least, most } = REMEMBERED_MS
  const ends = identity.expiresAt * 1000 + 60_000
  return Math.min(Math.max(now + least, ends), now + most)
}

async function spend(tx: Tx, value: string, expiresAt: number): Promise<void> {
  if (!(await takeOnce(tx, { scope: 'id-token', value, expiresAt }))) throw usedBefore()
}

async function isSpent(tx: Tx, value: string): Promise<boolean> {
  const row = await tx
    .selectFrom('replay')
    .select('value')
    .where('scope', '=', 'id-token')
    .where('value', '=', value)
    .executeTakeFirst()
  return row !== undefined
}

/** @throws JitError `token_invalid` while another key's session lives on the token */
async function makeRoom(tx: Tx, { identity, jkt, now, idle }: TokenUse): Promise<void> {
  const other = await tx
    .selectFrom('sessions')
    .selectAll()
    .where('token_hash', '=', identity.tokenHash)
    .where('jkt', '!=', jkt)
    .executeTakeFirst()
  if (!other) return
  const ended = endOf(other, { now, idle })
  if (ended === undefined || !MADE_ROOM.includes(ended)) throw inUse()
  await tx.updateTable('sessions').set({ token_hash: null }).where('sid', '=', other.sid).execute()
}

function usedBefore(): JitError {
  return new JitError('token_invalid', 'this identity token was used before')
}

function inUse(): JitError {
  return new JitError('token_invalid', 'another session lives on this identity token', {
    hint: 'sign in once, before the first step of the job, for all of them: jit login --workload',
  })
}
