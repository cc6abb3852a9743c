import { toTimestamp } from '../lib/clock.ts'
import type { AuditLog } from './audit.ts'
import type { BrokerConfig } from './config/config.ts'
import type { KeyRing } from './key-ring.ts'
import { KEY_MARGIN_MS } from './key-states.ts'
import { KEY_PURPOSES, type KeyPurpose, newKey } from './keys.ts'
import type { Seal } from './seal.ts'
import { endEverySession } from './session-end.ts'
import type { SigningKeyRow } from './store/schema.ts'
import type { Store, Tx } from './store/store.ts'

interface Parts {
  readonly store: Store
  readonly seal: Seal
  readonly ring: KeyRing
  readonly audit: AuditLog
  readonly config: Pick<BrokerConfig, 'keys' | 'session' | 'targets'>
}

/** Who does it, where that isn't the broker by itself. */
interface By {
  readonly operator?: string
}

/** A key that will sign, and from when. */
export interface NextKey {
  readonly purpose: KeyPurpose
  readonly kid: string
  /** Milliseconds since the epoch. */
  readonly signsAt: number
}

/** The longest that something signed for a purpose is worth anything, in milliseconds. */
export function longestLife(
  purpose: KeyPurpose,
  { session, targets }: Pick<BrokerConfig, 'session' | 'targets'>,
): number {
  const ttls = Object.values(targets).map(({ ttl }) => ttl.max)
  const seconds = {
    // A delegated session is renewed with its last token, which may have expired.
    session: Math.max(session.tokenTtl, session.delegatedMaxAge),
    grant: Math.max(0, ...ttls),
    audit: 0,
  }
  return seconds[purpose] * 1000
}

/** Makes the keys of a new store, once however many brokers start over it. */
export async function makeFirstKeys({ store, seal }: Pick<Parts, 'store' | 'seal'>): Promise<void> {
  for (const purpose of KEY_PURPOSES) {
    const one = await latest(store.db, purpose)
    if (one) continue
    const key = await newKey(purpose, seal)
    const now = store.now()
    await insert(store.db, { ...key, generation: 1, created_at: now, signs_at: now })
  }
}

/** Changes keys before they are old, and on demand. What it changes commits with its audit entry. */
export class KeyRotation {
  readonly #parts: Parts
  #withdrawn: number | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.#withdrawn = parts.ring.withdrawnAt('audit')
  }

  /** Notes how long today's configuration lets tokens live: so long a key is kept after it. */
  async noteLifetimes(): Promise<void> {
    const { store, config, ring } = this.#parts
    for (const purpose of KEY_PURPOSES) {
      const longest = longestLife(purpose, config)
      await store.db
        .updateTable('signing_keys')
        .set({ longest })
        .where('purpose', '=', purpose)
        .where('longest', '<', longest)
        .where('private_key', '!=', '')
        .execute()
    }
    await ring.refresh()
  }

  /** Publishes the next key of what will be old by the time that everybody knows it, and destroys what signs no more. */
  async keepUp(): Promise<void> {
    const { ring, config, store, audit } = this.#parts
    await ring.refresh()
    const withdrawn = ring.withdrawnAt('audit')
    // Until now this node may have signed heads with a key that counts no more.
    if (withdrawn !== this.#withdrawn) await audit.signAnew()
    this.#withdrawn = withdrawn
    const { rotate, publish } = config.keys
    if (rotate !== undefined) {
      for (const purpose of KEY_PURPOSES) {
        const newest = ring.states(purpose).at(-1)?.row
        const old = (newest?.signs_at ?? 0) + (rotate - publish) * 1000
        if (newest && old <= store.now()) await this.rotate(purpose)
      }
    }
    await this.#destroySpent()
  }

  /**
   * Publishes the next key of a purpose, which signs once everybody had the time to fetch it. One that
   * waits to sign already is that key.
   */
  async rotate(purpose: KeyPurpose, by: By = {}): Promise<NextKey> {
    const { store, seal, ring, audit, config } = this.#parts
    const key = await newKey(purpose, seal)
    const next = await store.transaction(async (tx) => {
      const now = store.now()
      const newest = await latest(tx, purpose)
      if (newest && newest.signs_at > now && newest.withdrawn_at === null) return newest
      const generation = (newest?.generation ?? 0) + 1
      const row = {
        ...key,
        generation,
        created_at: now,
        signs_at: now + config.keys.publish * 1000,
      }
      const longest = longestLife(purpose, config)
      if (!(await insert(tx, { ...row, longest }))) return undefined
      await audit.append(tx, {
        event: 'broker.key_published',
        principal: null,
        ...{ purpose, kid: key.kid, signs_at: toTimestamp(row.signs_at) },
        ...by,
      })
      return row
    })
    await ring.refresh()
    // Another node was first.
    if (!next) return this.rotate(purpose, by)
    return { purpose, kid: next.kid, signsAt: next.signs_at }
  }

  /**
   * Somebody else may have the keys of a purpose: a new one signs at once, and nothing that the others
   * signed counts any more. Of session keys every session ends, and what lives on it.
   */
  async withdraw(purpose: KeyPurpose, by: By): Promise<NextKey> {
    const { store, seal, ring, audit, config } = this.#parts
    const key = await newKey(purpose, seal)
    return store.transaction(async (tx) => {
      const at = store.now()
      const generation = ((await latest(tx, purpose))?.generation ?? 0) + 1
      const gone = await tx
        .updateTable('signing_keys')
        .set({ withdrawn_at: at, private_key: '' })
        .where('purpose', '=', purpose)
        .where('withdrawn_at', 'is', null)
        .returning('kid')
        .execute()
      const longest = longestLife(purpose, config)
      await tx
        .insertInto('signing_keys')
        .values({ ...key, generation, created_at: at, signs_at: at, longest, withdrawn_at: null })
        .execute()
      // The entry that tells of it is signed by the new one already.
      await ring.refresh(tx)
      await audit.append(tx, {
        event: 'broker.keys_withdrawn',
        principal: null,
        ...{ purpose, kid: key.kid, withdrawn: gone.map(({ kid }) => kid) },
        ...by,
      })
      if (purpose === 'session') await endEverySession(tx, { audit, at })
      return { purpose, kid: key.kid, signsAt: at }
    })
  }

  /** A private half that signs no more is of use to thieves alone. */
  async #destroySpent(): Promise<void> {
    const { store, ring } = this.#parts
    const now = store.now()
    const spent = KEY_PURPOSES.flatMap((purpose) => ring.states(purpose)).filter(
      ({ row, signsUntil }) =>
        row.private_key !== '' && signsUntil !== undefined && signsUntil + KEY_MARGIN_MS <= now,
    )
    if (spent.length === 0) return
    const kids = spent.map(({ row }) => row.kid)
    await store.db
      .updateTable('signing_keys')
      .set({ private_key: '' })
      .where('kid', 'in', kids)
      .execute()
  }
}

function latest(db: Store['db'] | Tx, purpose: KeyPurpose): Promise<SigningKeyRow | undefined> {
  return db
    .selectFrom('signing_keys')
    .selectAll()
    .where('purpose', '=', purpose)
    .orderBy('generation', 'desc')
    .limit(1)
    .executeTakeFirst()
}

/** @returns `false` where another node has made one of the same generation */
async function insert(
  db: Store['db'] | Tx,
  row: Omit<SigningKeyRow, 'withdrawn_at' | 'longest'> & { longest?: number },
): Promise<boolean> {
  const inserted = await db
    .insertInto('signing_keys')
    .values({ longest: 0, withdrawn_at: null, ...row })
    .onConflict((conflict) => conflict.columns(['purpose', 'generation']).doNothing())
    .executeTakeFirst()
  return (inserted.numInsertedOrUpdatedRows ?? 0n) > 0n
}
