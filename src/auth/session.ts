import * as v from 'valibot'
import type { Keystore } from '../keystore/keystore.ts'
import type { TokenResponse } from '../protocol/oauth.ts'
import { parseJson } from '../protocol/parse.ts'
import { AgentName, Principal } from '../protocol/principal.ts'
import { Timestamp } from '../protocol/values.ts'
import { SessionKey } from './proof.ts'

/** How the session of a job signs in, and does again. */
const Workload = v.object({
  /** As `workloadSource` takes it. */
  source: v.string(),
  /** Names the job; `""` where nothing tells. */
  job: v.string(),
  /** What its tokens are made for. */
  audience: v.string(),
})
export type Workload = v.InferOutput<typeof Workload>

/** A sign-in at one broker, as the keystore holds it. */
export const StoredSession = v.object({
  broker: v.string(),
  /** The copilot whose session it is; absent: the person's. */
  agent: v.exactOptional(AgentName),
  /** Handed on by the person's session at the same broker, which it goes on with. */
  delegated: v.exactOptional(v.literal(true)),
  /** Of a job, which signs in by itself. */
  workload: v.exactOptional(Workload),
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

/** Which session: the person's at a broker, or that of a copilot there. */
export interface SessionName {
  readonly broker: string
  readonly agent?: string | undefined
}

/** What the keystore knows it by: each its own, so that none takes another's place. */
export function entryName({ broker, agent }: SessionName): string {
  return agent === undefined ? `session:${broker}` : `session:${broker}#${agent}`
}

/**
 * The session of that name, if there is one.
 * @throws JitError `keystore_failed`
 */
export async function readSession(
  keystore: Keystore,
  name: SessionName,
): Promise<StoredSession | undefined> {
  const text = await keystore.get(entryName(name))
  if (text === undefined) return undefined
  return parseJson(StoredSession, text, { what: 'the stored session', code: 'keystore_failed' })
}

/** @throws JitError `keystore_failed` */
export async function writeSession(keystore: Keystore, session: StoredSession): Promise<void> {
  await keystore.set(entryName(session), JSON.stringify(session))
}

/** @throws JitError `keystore_failed` */
export async function removeSession(keystore: Keystore, name: SessionName): Promise<void> {
  await keystore.delete(entryName(name))
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
