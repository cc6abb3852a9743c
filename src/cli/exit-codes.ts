import type { ErrorCode } from '../lib/errors.ts'

/** What commands return when nothing went wrong but the answer isn't a plain yes. */
export const EXIT = { ok: 0, error: 1, usage: 2, denied: 3, pending: 6 } as const

/** Every code that isn't a plain error (1). */
const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  usage: 2,
  denied: 3,
  approval_denied: 3,
  approval_pending: 6,
  insufficient_user_authentication: 4,
  limit_reached: 3,
  sign_in_denied: 3,
  not_signed_in: 4,
  session_ended: 4,
  token_invalid: 4,
  broker_unreachable: 5,
  issuer_unreachable: 5,
  cancelled: 130,
}

/** Of a command that wraps another: what isn't the child's own code (env(1) has the same). */
const WRAPPER_CODES: Partial<Record<ErrorCode, number>> = {
  command_not_executable: 126,
  command_not_found: 127,
  cancelled: 130,
  approval_pending: 6,
}

/** The exit code for an error; `wraps`: of `jit exec`, where codes below 125 are the child's. */
export function exitCodeOf(code: ErrorCode, { wraps }: { wraps: boolean }): number {
  return wraps ? (WRAPPER_CODES[code] ?? 125) : (EXIT_CODES[code] ?? EXIT.error)
}
