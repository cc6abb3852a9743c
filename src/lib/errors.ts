/**
 * Every way a `jit` program fails, by a code that scripts may rely on. Codes are added, never
 * renamed. `cli/exit-codes.ts` maps them to exit codes, `broker/problem.ts` to HTTP status.
 */
export const ERROR_CODES = [
  // what the caller wrote
  'usage',
  'config_invalid',
  'policy_invalid',
  'profile_invalid',
  'profile_untrusted',
  'request_invalid',
  'idempotency_conflict',
  'not_found',
  // who is asking
  'not_signed_in',
  'token_invalid',
  'proof_invalid',
  'proof_replayed',
  'session_ended',
  'sign_in_denied',
  'sign_in_expired',
  'sign_in_failed',
  'issuer_changed',
  'broker_untrusted',
  // what was decided
  'denied',
  'not_in_sandbox',
  'approval_pending',
  'approval_denied',
  'request_lapsed',
  'request_changed',
  'insufficient_user_authentication',
  'limit_reached',
  // what is out of reach
  'broker_unreachable',
  'broker_failed',
  'issuer_unreachable',
  'target_unreachable',
  'target_refused',
  'store_failed',
  'keystore_failed',
  'export_failed',
  // the wrapped command
  'command_not_found',
  'command_not_executable',
  'sandbox_unavailable',
  'grant_ended',
  'ttl_too_short',
  'cancelled',
  'internal',
] as const
export type ErrorCode = (typeof ERROR_CODES)[number]

/** The sign-in that would help, in the terms of RFC 9470 section 3. */
export interface WantedSignIn {
  /** Seconds since the person really signed in, at most. */
  readonly max_age: number
  /** One of these authentication contexts; none named: any. */
  readonly acr_values: readonly string[]
}

/** The one error type: a stable code, a message for people, and what to do about it. */
export class JitError extends Error {
  override readonly name = 'JitError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  /** With `insufficient_user_authentication` alone. */
  readonly signIn: WantedSignIn | undefined
  /** With `approval_pending`: the request to go on with; with `denied`, where it has one, the one to explain. */
  readonly grant: string | undefined
  /** With `limit_reached`, where waiting helps: seconds. */
  readonly retryAfter: number | undefined

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      hint?: string
      cause?: unknown
      signIn?: WantedSignIn
      grant?: string
      retryAfter?: number
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.signIn = options.signIn
    this.grant = options.grant
    this.retryAfter = options.retryAfter
  }

  /** What was thrown, as a `JitError`: anything unforeseen is `internal`. */
  static from(thrown: unknown): JitError {
    if (thrown instanceof JitError) return thrown
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    return new JitError('internal', message, { cause: thrown })
  }
}
