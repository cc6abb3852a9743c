import { leaseHandle, markedId } from '../../lib/handle.ts'
import type { Minted } from '../../targets/target.ts'
import { LEASE } from '../grant-state.ts'
import type { Seal } from '../seal.ts'
import { stateOfFound } from '../store/found.ts'
import type { LeaseRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'
import type { LeaseTarget } from './decided-request.ts'
import { undoSealedAs } from './lease-ledger.ts'

/** How long a target may take to create a credential, in milliseconds: past it, it must refuse. */
export const MINT_WINDOW_MS = 20_000
/** How much longer it is waited, because its clock is another. */
export const MINT_MARGIN_MS = 5000

/** A credential that a target made for an intent. */
export interface MintedLease {
  readonly lease: LeaseRow
  readonly minted: Minted
}

/** What a grant's own transitions do to its leases, in the same transaction. */
export class LeaseTransitions {
  readonly #ledgerId: string
  readonly #mark: string
  readonly #node: string
  readonly #store: Store
  readonly #seal: Seal

  constructor(parts: { id: string; mark: string; node: string; store: Store; seal: Seal }) {
    this.#ledgerId = parts.id
    this.#mark = parts.mark
    this.#node = parts.node
    this.#store = parts.store
    this.#seal = parts.seal
  }

  /** Writes down what is about to be minted. */
  async intend(
    tx: Tx,
    intent: {
      grantId: string
      targets: readonly LeaseTarget[]
      now: number
      expiresAt: number
    },
  ): Promise<LeaseRow[]> {
    const leases = intent.targets.map(({ target, identity, delivery }): LeaseRow => {
      const id = markedId(intent.now, this.#mark)
      return {
        id,
        grant_id: intent.grantId,
        target: target.name,
        type: target.type,
        handle: leaseHandle(this.#ledgerId, id),
        delivery,
        state: 'intent',
        revocability: target.revocability,
        target_identity: identity,
        mint_by: intent.now + MINT_WINDOW_MS,
        expires_at: intent.expiresAt,
        confirmed: 0,
        external_id: null,
        undo: null,
        attempts: 0,
        next_attempt_at: null,
        problem: null,
        outcome: null,
        cleanup: null,
        claimed_by: null,
      }
    })
    if (leases.length > 0) await tx.insertInto('leases').values(leases).execute()
    return leases
  }

  /** What revoking needs beside the handle. */
  known({ lease, minted }: MintedLease): Pick<LeaseRow, 'confirmed' | 'external_id' | 'undo'> {
    return {
      confirmed: 1,
      external_id: minted.externalId ?? null,
      undo: minted.undo === undefined ? null : this.#seal.seal(minted.undo, undoSealedAs(lease.id)),
    }
  }

  /** Intent to active. The loser's credential is kept known, so that revoking finds it. */
  async confirm(tx: Tx, { lease, minted }: MintedLease): Promise<boolean> {
    const known = this.known({ lease, minted })
    const confirmed = await tx
      .updateTable('leases')
      .set({ ...known, state: LEASE.confirm.to })
      .where('id', '=', lease.id)
      .where('state', 'in', LEASE.confirm.from)
      .executeTakeFirst()
    if (confirmed.numUpdatedRows > 0n) return true
    await tx
      .updateTable('leases')
      .set({
        ...known,
        state: 'revoking',
        outcome: null,
        next_attempt_at: this.#store.now(),
        claimed_by: null,
      })
      .where('id', '=', lease.id)
      .execute()
    return false
  }

  /** Makes what grants hold due to be revoked: this node is at it first. */
  revoke(tx: Tx, ...grantIds: readonly string[]): Promise<LeaseRow[]> {
    return tx
      .updateTable('leases')
      .set({
        state: LEASE.revoke.to,
        next_attempt_at: this.#store.now(),
        claimed_by: this.#node,
      })
      .where('grant_id', 'in', grantIds)
      .where(stateOfFound, 'in', LEASE.revoke.from)
      .returningAll()
      .execute()
  }
}
