import * as v from 'valibot'
import { ERROR_CODES, type ErrorCode, JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import { type HttpAnswer, send } from '../lib/http.ts'
import { ID_TOKEN_TYPE, TOKEN_EXCHANGE_GRANT, TokenResponse } from '../protocol/oauth.ts'
import { parseJson } from '../protocol/parse.ts'
import { createProof, type SessionKey } from './proof.ts'

/** Where a broker exchanges tokens. */
export function tokenEndpoint(broker: string): URL {
  return new URL(`${broker}/oauth/token`)
}

/**
 * Trades an identity token for a session at the broker (RFC 8693), bound to `key` (RFC 9449). With
 * the key of a session it renews that session, with a new key it opens one.
 * @param exchange.agent what a copilot is called; absent: the token is a person's
 * @throws JitError as {@link requestToken}
 */
export async function exchangeToken(exchange: {
  broker: string
  idToken: string
  agent?: string | undefined
  key: SessionKey
  now: number
  signal?: AbortSignal
}): Promise<TokenResponse> {
  const { broker, idToken, agent, key, now, signal } = exchange
  return requestToken({
    broker,
    proof: createProof(key, { method: 'POST', url: tokenEndpoint(broker), now }),
    form: {
      subject_token: idToken,
      subject_token_type: ID_TOKEN_TYPE,
      ...(agent === undefined ? {} : { agent_name: agent }),
    },
    ...(signal ? { signal } : {}),
  })
}

/**
 * One token exchange.
 * @param exchange.proof by the key that the new token is to be bound to
 * @throws JitError the broker's code; `sign_in_failed` for an OAuth error without one; `broker_unreachable`
 */
export async function requestToken(exchange: {
  broker: string
  proof: string
  form: Readonly<Record<string, string>>
  signal?: AbortSignal
}): Promise<TokenResponse> {
  const answer = await send({
    method: 'POST',
    url: tokenEndpoint(exchange.broker),
    headers: { 'content-type': 'application/x-www-form-urlencoded', dpop: exchange.proof },
    body: new URLSearchParams({
      grant_type: TOKEN_EXCHANGE_GRANT,
      ...exchange.form,
    }).toString(),
    ...(exchange.signal ? { signal: exchange.signal } : {}),
  })
  if (answer.status !== 200) throw refusal(answer)
  return parseJson(TokenResponse, answer.body, {
    what: "the broker's token response",
    code: 'broker_failed',
  })
}

/** RFC 6749 section 5.2, with the broker's own `code` where it says one, or a problem document. */
const Refusal = v.object({
  error: v.exactOptional(v.string()),
  error_description: v.exactOptional(v.string()),
  code: v.exactOptional(v.string()),
  detail: v.exactOptional(v.string()),
  hint: v.exactOptional(v.string()),
})

function refusal(answer: HttpAnswer): JitError {
  if (answer.status >= 500) {
    return new JitError('broker_failed', `the broker answered ${answer.status} to the sign-in`)
  }
  const said = parseJson(Refusal, answer.body, {
    what: "the broker's refusal",
    code: 'broker_failed',
  })
  const reason = said.error_description ?? said.detail ?? said.error ?? `status ${answer.status}`
  const hint = said.hint === undefined ? {} : { hint: escapeForDisplay(said.hint) }
  return new JitError(
    codeOf(said),
    `the broker opened no session: ${escapeForDisplay(reason)}`,
    hint,
  )
}

function codeOf(said: v.InferOutput<typeof Refusal>): ErrorCode {
  const known = ERROR_CODES.find((code) => code === said.code)
  if (known) return known
  return said.error === 'invalid_dpop_proof' ? 'proof_invalid' : 'sign_in_failed'
}
