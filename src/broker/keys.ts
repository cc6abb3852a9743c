import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose'
import type { Seal } from './seal.ts'
import type { SigningKeyRow } from './store/schema.ts'

/** What a key signs. A token of one purpose is never taken for another: its key doesn't verify it. */
export type KeyPurpose = 'session' | 'grant' | 'audit'

export const KEY_PURPOSES: readonly KeyPurpose[] = ['session', 'grant', 'audit']

/** A signing key of the broker; the private half rests in the store, sealed. */
export interface SigningKey {
  readonly kid: string
  /** `ES256` for grant tokens, because clouds that trust them take it; `EdDSA` elsewhere. */
  readonly algorithm: 'ES256' | 'EdDSA'
  readonly privateKey: KeyObject
}

/** A key's two halves, as they are about to be stored. */
export type NewKey = Pick<SigningKeyRow, 'kid' | 'purpose' | 'private_key' | 'public_jwk'>

export const algorithmOf = (purpose: KeyPurpose) => (purpose === 'grant' ? 'ES256' : 'EdDSA')

/** What a private half is sealed for. */
export const sealedAs = (kid: string) => `signing-key:${kid}`

function generate(purpose: KeyPurpose): KeyObject {
  return purpose === 'grant'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    : generateKeyPairSync('ed25519').privateKey
}

/** A new key of a purpose, its private half sealed. */
export async function newKey(purpose: KeyPurpose, seal: Seal): Promise<NewKey> {
  const privateKey = generate(purpose)
  const { d: _private, ...half } = await exportJWK(privateKey)
  const kid = await calculateJwkThumbprint(half)
  const publicJwk: JWK = { ...half, kid, use: 'sig', alg: algorithmOf(purpose) }
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return {
    kid,
    purpose,
    private_key: seal.seal(pem, sealedAs(kid)),
    public_jwk: JSON.stringify(publicJwk),
  }
}

/**
 * A stored key, opened.
 * @throws JitError `store_failed` when no seal key of today is the one it was sealed with
 */
export function openKey(row: SigningKeyRow, seal: Seal): SigningKey {
  return {
    kid: row.kid,
    algorithm: algorithmOf(row.purpose as KeyPurpose),
    privateKey: createPrivateKey(seal.open(row.private_key, sealedAs(row.kid))),
  }
}
