import { newId } from '../../lib/handle.ts'
import type { AuditLog } from '../audit.ts'
import type { Store, Tx } from '../store/store.ts'

/** How often a node says that it lives, and how long it is believed, in milliseconds. */
export const BEAT_MS = 1000
export const BELIEVED_MS = 5000

/** How much changes hands in one transaction: the others are not kept waiting long. */
const FREED_AT_ONCE = 10_000

/** An id for a broker process. */
export function newNodeId(now: number): string {
  return `n_${newId(now)}`
}

interface Parts {
  readonly store: Store
  readonly audit: AuditLog
  /** This one's id. */
  readonly node: string
}

/**
 * The broker processes over one store, none of them special: each says once a second that it lives, and
 * what one that says so no more had in hand is anybody's.
 */
export class NodeLedger {
  readonly #store: Store
  readonly #audit: AuditLog
  readonly #node: string

  constructor({ store, audit, node }: Parts) {
    this.#store = store
    this.#audit = audit
    this.#node = node
  }

  /** Comes to the others. */
  async join(policyVersion: string): Promise<void> {
    const now = this.#store.now()
    const node = {
      id: this.#node,
      started_at: now,
      alive_until: now + BELIEVED_MS,
      policy_version: policyVersion,
    }
    await this.#store.transaction((tx) => tx.insertInto('nodes').values(node).execute())
  }

  /** Lives on. @returns `false` when it was taken for dead, and what it had in hand is others' */
  async beat(policyVersion: string): Promise<boolean> {
    const beaten = await this.#store.pulse
      .updateTable('nodes')
      .set({ alive_until: this.#store.now() + BELIEVED_MS, policy_version: policyVersion })
      .where('id', '=', this.#node)
      .executeTakeFirst()
    return beaten.numUpdatedRows > 0n
  }

  /**
   * Frees what dead nodes had in hand. Of a store that isn't shared, every other is dead.
   * @param grace milliseconds that their connections have to come to another
   * @returns the dead
   */
  async takeOver(grace: number): Promise<string[]> {
    const others = this.#store.db.selectFrom('nodes').select('id').where('id', '!=', this.#node)
    const dead = this.#store.shared ? others.where('alive_until', '<=', this.#store.now()) : others
    const found = [...(await dead.execute()), ...(await this.#gone())]
    return found.length === 0
      ? []
      : this.#bury(
          found.map(({ id }) => id),
          grace,
        )
  }

  /** Those that have something in hand though they left, or were buried: it was written a moment too late. */
  #gone(): Promise<{ id: string }[]> {
    const { db } = this.#store
    const holders = (table: 'grants' | 'sandboxes') =>
      db
        .selectFrom(table as 'grants')
        .select('held_by as id')
        .where('held_by', 'is not', null)
        .$narrowType<{ id: string }>()
    const claimers = db
      .selectFrom('leases')
      .select('claimed_by as id')
      .where('claimed_by', 'is not', null)
      .$narrowType<{ id: string }>()
    return db
      .selectFrom(holders('grants').union(holders('sandboxes')).union(claimers).as('busy'))
      .select('busy.id')
      .where('busy.id', '!=', this.#node)
      .where('busy.id', 'not in', db.selectFrom('nodes').select('nodes.id'))
      .execute()
  }

  /** In several transactions, where there is much: what is left of one that is buried is anybody's to free. */
  async #bury(suspects: readonly string[], grace: number): Promise<string[]> {
    const buried = new Set<string>()
    for (let again = true; again; ) {
      again = await this.#store.transaction(async (tx) => {
        const now = this.#store.now()
        const dead = tx.deleteFrom('nodes').where('id', 'in', suspects).returning('id')
        const deleted = await (this.#store.shared
          ? dead.where('alive_until', '<=', now)
          : dead
        ).execute()
        // One of them may have said that it lives, or another node have been here.
        const living = await tx
          .selectFrom('nodes')
          .select('id')
          .where('id', 'in', suspects)
          .execute()
        const gone = suspects.filter((suspect) => !living.some(({ id }) => id === suspect))
        let most = 0
        for (const node of gone) {
          const freed = await release(tx, node, now + grace)
          most = Math.max(most, freed)
          if (buried.has(node) || (freed === 0 && !deleted.some(({ id }) => id === node))) continue
          buried.add(node)
          await this.#audit.append(tx, { event: 'broker.taken_over', principal: null, node })
        }
        return most === FREED_AT_ONCE
      })
    }
    return [...buried]
  }

  /** Goes in order: what this node has is anybody's. */
  async leave(grace: number): Promise<void> {
    await this.#store.transaction(async (tx) => {
      // The rest is freed by whoever finds that it belongs to nobody.
      await release(tx, this.#node, this.#store.now() + grace)
      await tx.deleteFrom('nodes').where('id', '=', this.#node).execute()
    })
  }

  /** Those that live, with the policies that each decides by. */
  async alive(): Promise<{ id: string; policyVersion: string }[]> {
    const rows = await this.#store.db
      .selectFrom('nodes')
      .select(['id', 'policy_version'])
      .where('alive_until', '>', this.#store.now())
      .orderBy('id')
      .execute()
    return rows.map(({ id, policy_version }) => ({ id, policyVersion: policy_version }))
  }

  /**
   * Takes a piece of work that one node does for all, such as the sweep of a target.
   * @param every milliseconds until it is due again
   */
  async claim(work: string, every: number): Promise<boolean> {
    const now = this.#store.now()
    const key = `due:${work}`
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .selectFrom('meta')
        .select('value')
        .where('key', '=', key)
        .executeTakeFirst()
      if (row && Number(row.value) > now) return false
      const value = String(now + every)
      await tx
        .insertInto('meta')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute()
      return true
    })
  }
}

/** What a node held or had claimed is free, so much of it at once. @returns how much it was, of one kind at most */
async function release(tx: Tx, node: string, graceUntil: number): Promise<number> {
  const free = { held_by: null, grace_until: graceUntil }
  const held = (table: 'grants' | 'sandboxes') =>
    tx
      .updateTable(table as 'grants')
      .set(free)
      .where('id', 'in', (eb) =>
        eb
          .selectFrom(table as 'grants')
          .select('id')
          .where('held_by', '=', node)
          .limit(FREED_AT_ONCE),
      )
  const claimed = tx
    .updateTable('leases')
    .set({ claimed_by: null })
    .where('id', 'in', (eb) =>
      eb.selectFrom('leases').select('id').where('claimed_by', '=', node).limit(FREED_AT_ONCE),
    )
  const freed = [
    await held('grants').executeTakeFirst(),
    await held('sandboxes').executeTakeFirst(),
    await claimed.executeTakeFirst(),
  ]
  return Math.max(...freed.map(({ numUpdatedRows }) => Number(numUpdatedRows)))
}
