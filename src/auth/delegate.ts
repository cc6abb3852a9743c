import type { Keystore } from '../keystore/keystore.ts'
import { ACCESS_TOKEN_TYPE, type Delegation, type TokenResponse } from '../protocol/oauth.ts'
import type { Ceiling } from '../protocol/principal.ts'
import { currentSession, type SessionSource } from './current-session.ts'
import { requestToken, tokenEndpoint } from './exchange.ts'
import { createProof, newSessionKey, thumbprintOf } from './proof.ts'
import { fieldsOf, type StoredSession, writeSession } from './session.ts'

/**
 * Hands the person's session on to a copilot (RFC 8693), under a new key, and keeps it beside theirs.
 * Both keys sign: the person's for the new key, what the copilot is called and what it may ask for;
 * the new one for the person's token. Half of it is of no use to anybody.
 * @param delegation.expiresIn seconds at most; the broker has a limit of its own
 * @throws JitError as {@link currentSession} for the person's session; the broker's code
 */
export async function delegateSession(delegation: {
  person: Omit<SessionSource, 'agent'>
  agent: string
  ceiling: Ceiling
  expiresIn: number | undefined
  signal: AbortSignal
}): Promise<StoredSession> {
  const { person, agent, ceiling, expiresIn, signal } = delegation
  const { clock, keystore } = person
  const { broker, issuer, client_id, access_token, jwk } = await currentSession(person)
  const key = newSessionKey()
  const request = { method: 'POST', url: tokenEndpoint(broker), now: clock.now() } as const
  const claim: Delegation = {
    jkt: thumbprintOf(key),
    agent,
    ceiling,
    ...(expiresIn === undefined ? {} : { expires_in: expiresIn }),
  }
  const over = { ...request, accessToken: access_token }
  const response = await requestToken({
    broker,
    proof: createProof(key, over),
    form: {
      subject_token: access_token,
      subject_token_type: ACCESS_TOKEN_TYPE,
      subject_proof: createProof(jwk, { ...over, claims: { delegation: claim } }),
    },
    signal,
  })
  const fields = fieldsOf(response, clock.now())
  const session = {
    broker,
    agent,
    delegated: true,
    issuer,
    client_id,
    ...fields,
    jwk: key,
  } as const
  return keep(session, keystore)
}

async function keep(session: StoredSession, keystore: Keystore): Promise<StoredSession> {
  await writeSession(keystore, session)
  return session
}

/**
 * A new token for a delegated session, on the word of its own key and its last token, expired or not.
 * @param now milliseconds since the epoch
 * @throws JitError the broker's code: `session_ended` once the person's session is over
 */
export async function exchangeOwnToken(
  { broker, access_token: accessToken, jwk }: StoredSession,
  now: number,
): Promise<TokenResponse> {
  return requestToken({
    broker,
    proof: createProof(jwk, { method: 'POST', url: tokenEndpoint(broker), now, accessToken }),
    form: { subject_token: accessToken, subject_token_type: ACCESS_TOKEN_TYPE },
  })
}
