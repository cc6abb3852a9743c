import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose'
import type { Seal } from './seal.ts'
import type { Store } from './store/store.ts'

/** What a key signs. A token of one purpose is never taken for another: its key doesn't verify it. */
export type KeyPurpose = 'session' | 'grant' | 'audit'

/** A signing key of the broker; the private half rests in the store, sealed. */
export interface SigningKey {
  readonly kid: string
  /** `ES256` for grant tokens, because clouds that trust them take it; `EdDSA` elsewhere. */
  readonly algorithm: 'ES256' | 'EdDSA'
  readonly privateKey: KeyObject
  readonly publicJwk: JWK
}

const algorithmOf = (purpose: KeyPurpose) => (purpose === 'grant' ? 'ES256' : 'EdDSA')

function generate(purpose: KeyPurpose): KeyObject {
  return purpose === 'grant'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    : generateKeyPairSync('ed25519').privateKey
}

async function createKey(store: Store, seal: Seal, purpose: KeyPurpose): Promise<void> {
  const privateKey = generate(purpose)
  const { d: _private, ...half } = await exportJWK(privateKey)
  const kid = await calculateJwkThumbprint(half)
  const publicJwk: JWK = { ...half, kid, use: 'sig', alg: algorithmOf(purpose) }
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  await store.db
    .insertInto('signing_keys')
    .values({
      kid,
      purpose,
      private_key: seal.seal(pem, `signing-key:${kid}`),
      public_jwk: JSON.stringify(publicJwk),
      created_at: store.now(),
    })
    .execute()
}

/**
 * The broker's key for each purpose, made at the first start.
 * @throws JitError `store_failed` when the seal key isn't the one they were sealed with
 */
export async function loadSigningKeys(
  store: Store,
  seal: Seal,
): Promise<Record<KeyPurpose, SigningKey>> {
  const load = async (purpose: KeyPurpose): Promise<SigningKey> => {
    const row = await store.db
      .selectFrom('signing_keys')
      .selectAll()
      .where('purpose', '=', purpose)
      .orderBy('created_at', 'desc')
      .executeTakeFirst()
    if (!row) {
      await createKey(store, seal, purpose)
      return load(purpose)
    }
    return {
      kid: row.kid,
      algorithm: algorithmOf(purpose),
      privateKey: createPrivateKey(seal.open(row.private_key, `signing-key:${row.kid}`)),
      publicJwk: JSON.parse(row.public_jwk) as JWK,
    }
  }
  return { session: await load('session'), grant: await load('grant'), audit: await load('audit') }
}
