import { createPublicKey, type KeyObject } from 'node:crypto'
import { errors, type JWK } from 'jose'
import { JitError } from '../lib/errors.ts'
import { type KeyInState, type KeyState, keyStates } from './key-states.ts'
import { algorithmOf, KEY_PURPOSES, type KeyPurpose, openKey, type SigningKey } from './keys.ts'
import type { Seal } from './seal.ts'
import type { SigningKeyRow } from './store/schema.ts'
import type { Store, Tx } from './store/store.ts'

/** How often a key that nobody knows may send to the store, in milliseconds. */
const LOOK_AGAIN_MS = 1000

/** What another may still check by. */
const ALIVE: readonly KeyState[] = ['published', 'signing', 'verifying']

/** The keys of one purpose, as they are now. */
export interface KeySource {
  readonly algorithm: SigningKey['algorithm']
  /** @throws JitError `store_failed` */
  signing(): SigningKey
  /** One that verifies today. */
  find(kid: string): Promise<KeyObject | undefined>
}

/** What is known of the broker's keys: read again now and then, because other nodes rotate them too. */
export class KeyRing {
  readonly #store: Store
  readonly #seal: Seal
  readonly #opened = new Map<string, SigningKey>()
  readonly #publicHalves = new Map<string, KeyObject>()
  #rows: readonly SigningKeyRow[] = []
  #looked = 0

  private constructor(store: Store, seal: Seal) {
    this.#store = store
    this.#seal = seal
  }

  /** @throws JitError `store_failed` when the seal key isn't the one they were sealed with */
  static async open(store: Store, seal: Seal): Promise<KeyRing> {
    const ring = new KeyRing(store, seal)
    await ring.refresh()
    return ring
  }

  /** Reads the keys again, in a transaction that changes them too. */
  async refresh(db: Store['db'] | Tx = this.#store.db): Promise<void> {
    const rows = await db.selectFrom('signing_keys').selectAll().orderBy('generation').execute()
    for (const row of rows) {
      if (row.private_key === '') this.#opened.delete(row.kid)
      else if (!this.#opened.has(row.kid)) this.#opened.set(row.kid, openKey(row, this.#seal))
    }
    this.#rows = rows
    this.#looked = performance.now()
  }

  /** Those of one purpose, oldest first, each with its state now. */
  states(purpose: KeyPurpose): readonly KeyInState[] {
    const own = this.#rows.filter((row) => row.purpose === purpose)
    return keyStates(own, this.#store.now())
  }

  of(purpose: KeyPurpose): KeySource {
    return {
      algorithm: algorithmOf(purpose),
      signing: () => this.#signing(purpose),
      find: async (kid) => {
        const known = this.#public(purpose, kid)
        if (known || performance.now() - this.#looked < LOOK_AGAIN_MS) return known
        await this.refresh()
        return this.#public(purpose, kid)
      },
    }
  }

  /** The public halves that others may check by, for a JWKS (RFC 7517 section 5). */
  published(purpose: KeyPurpose): JWK[] {
    return this.#inUse(purpose).map(({ row }) => JSON.parse(row.public_jwk) as JWK)
  }

  /**
   * Those that heads of the audit log are signed with. One that signs no more stays for heads that
   * somebody kept; `exp` says until when it did (OpenID Federation 1.0 section 8.7).
   */
  publishedForAudit(): JWK[] {
    return this.states('audit').flatMap(({ row, state, signsUntil }) => {
      if (state === 'withdrawn') return []
      const jwk = JSON.parse(row.public_jwk) as JWK
      return [signsUntil === undefined ? jwk : { ...jwk, exp: Math.ceil(signsUntil / 1000) }]
    })
  }

  /** When keys of a purpose were last withdrawn: milliseconds since the epoch. */
  withdrawnAt(purpose: KeyPurpose): number | undefined {
    const times = this.states(purpose).map(({ row }) => row.withdrawn_at ?? 0)
    const last = Math.max(0, ...times)
    return last === 0 ? undefined : last
  }

  /** @returns the ids of the keys that sign now */
  current(): Readonly<Record<string, string>> {
    return Object.fromEntries(KEY_PURPOSES.map((one) => [one, this.#signing(one).kid]))
  }

  #inUse(purpose: KeyPurpose): readonly KeyInState[] {
    return this.states(purpose).filter(({ state }) => ALIVE.includes(state))
  }

  #signing(purpose: KeyPurpose): SigningKey {
    const current = this.states(purpose).findLast(({ state }) => state === 'signing')
    const key = current && this.#opened.get(current.row.kid)
    if (!key) throw new JitError('store_failed', `there is no key that signs (${purpose})`)
    return key
  }

  #public(purpose: KeyPurpose, kid: string): KeyObject | undefined {
    const found = this.#inUse(purpose).find(({ row }) => row.kid === kid)
    if (!found) return undefined
    const half =
      this.#publicHalves.get(kid) ??
      createPublicKey({ key: JSON.parse(found.row.public_jwk), format: 'jwk' })
    this.#publicHalves.set(kid, half)
    return half
  }
}

/** Finds the key that a token names, for `jose`. */
export function verifyingWith(keys: KeySource): (header: { kid?: string }) => Promise<KeyObject> {
  return async ({ kid }) => {
    const key = kid === undefined ? undefined : await keys.find(kid)
    if (!key) throw new errors.JWKSNoMatchingKey()
    return key
  }
}
