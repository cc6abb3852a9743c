import * as v from 'valibot'
import type { Keystore } from '../keystore/keystore.ts'
import type { TokenResponse } from '../protocol/oauth.ts'
import { parseJson } from '../protocol/parse.ts'
import { Principal } from '../protocol/principal.ts'
import { Timestamp } from '../protocol/values.ts'
import { SessionKey } from './proof.ts'

/** A sign-in at one broker, as the keystore holds it. */
export const StoredSession = v.object({
  broker: v.string(),
  issuer: v.string(),
  client_id: v.string(),
  /** How a person signed in, and does again; absent where none did. */
  flow: v.exactOptional(v.picklist(['device', 'browser'])),
  access_token: v.string(),
  /** Milliseconds since the epoch, by this machine's clock. */
  access_token_expires_at: v.number(),
  session_expires_at: Timestamp,
  /** Absent where the provider gives none: the session ends with its token. */
  refresh_token: v.exactOptional(v.string()),
  jwk: SessionKey,
  principal: Principal,
})
export type StoredSession = v.InferOutput<typeof StoredSession>

const nameOf = (broker: string) => `session:${broker}`

/**
 * The session at `broker`, if there is one.
 * @throws JitError `keystore_failed`
 */
export async function readSession(
  keystore: Keystore,
  broker: string,
): Promise<StoredSession | undefined> {
  const text = await keystore.get(nameOf(broker))
  if (text === undefined) return undefined
  return parseJson(StoredSession, text, { what: 'the stored session', code: 'keystore_failed' })
}

/** @throws JitError `keystore_failed` */
export async function writeSession(keystore: Keystore, session: StoredSession): Promise<void> {
  await keystore.set(nameOf(session.broker), JSON.stringify(session))
}

/** @throws JitError `keystore_failed` */
export async function removeSession(keystore: Keystore, broker: string): Promise<void> {
  await keystore.delete(nameOf(broker))
}

/** What a token response says of the session, in the keystore's terms. */
export function fieldsOf(response: TokenResponse, now: number) {
  return {
    access_token: response.access_token,
    access_token_expires_at: now + response.expires_in * 1000,
    session_expires_at: response.session_expires_at,
    principal: response.principal,
  }
}
