import type { ErrorCode, JitError } from '../lib/errors.ts'
import type { Problem } from '../protocol/problem.ts'

/** HTTP status by code; what is missing is the broker's own fault. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  usage: 400,
  request_invalid: 400,
  not_signed_in: 401,
  token_invalid: 401,
  proof_invalid: 401,
  proof_replayed: 401,
  session_ended: 401,
  insufficient_user_authentication: 401,
  denied: 403,
  approval_denied: 403,
  approval_pending: 409,
  request_changed: 409,
  request_lapsed: 409,
  not_found: 404,
  grant_ended: 409,
  idempotency_conflict: 409,
  limit_reached: 429,
  target_refused: 502,
  target_unreachable: 503,
  issuer_unreachable: 503,
  store_failed: 503,
}

const TITLE: Record<number, string> = {
  400: 'Bad request',
  401: 'Not authenticated',
  403: 'Denied',
  404: 'Not found',
  409: 'Conflict',
  429: 'Limit reached',
  500: 'Internal error',
  502: 'Target refused',
  503: 'Unavailable',
}

/** What a client is told of an error (RFC 9457): terse; the log has the rest. */
export function problemOf(error: JitError): Problem {
  const status = STATUS[error.code] ?? 500
  return {
    type: `/problems/${error.code}`,
    title: TITLE[status] ?? 'Error',
    status,
    code: error.code,
    detail: error.code === 'internal' ? 'the broker failed; its log says more' : error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.grant === undefined ? {} : { grant: error.grant }),
    ...(error.retryAfter === undefined ? {} : { retry_after: error.retryAfter }),
    ...(error.signIn && {
      max_age: error.signIn.max_age,
      acr_values: [...error.signIn.acr_values],
    }),
  }
}
