import { ERROR_CODES, type ErrorCode, JitError, type WantedSignIn } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { HttpAnswer } from '../lib/http.ts'
import { parseJson, type Schema } from '../protocol/parse.ts'
import { Problem } from '../protocol/problem.ts'

/**
 * The body of a successful answer, as `T`.
 * @throws JitError what the broker's problem says; `broker_failed` for an answer that isn't one
 */
export function readAnswer<T>(schema: Schema<T>, answer: HttpAnswer, what: string): T {
  requireSuccess(answer)
  return parseJson(schema, answer.body, { what: `the broker's ${what}`, code: 'broker_failed' })
}

/** @throws JitError unless the status is 2xx */
export function requireSuccess(answer: HttpAnswer): void {
  if (answer.status < 200 || answer.status > 299) throw errorOf(answer)
}

/** A problem document (RFC 9457) as the error it stands for: the broker's code when it is one of ours. */
export function problemError(problem: Problem): JitError {
  const code = isErrorCode(problem.code) ? problem.code : codeOf(problem.status)
  const hint = problem.hint ?? hintOf(code)
  return new JitError(code, escapeForDisplay(problem.detail || problem.title), {
    ...(hint === undefined ? {} : { hint: escapeForDisplay(hint) }),
    ...(problem.grant === undefined ? {} : { grant: problem.grant }),
    ...(problem.retry_after === undefined ? {} : { retryAfter: problem.retry_after }),
    ...(code === 'insufficient_user_authentication' && { signIn: signInOf(problem) }),
  })
}

/** What isn't said is asked of the person in full: any sign-in, but one of right now. */
function signInOf({ max_age = 0, acr_values = [] }: Problem): WantedSignIn {
  return { max_age, acr_values }
}

function errorOf(answer: HttpAnswer): JitError {
  try {
    return problemError(parseJson(Problem, answer.body, { what: 'problem' }))
  } catch {
    const code = codeOf(answer.status)
    const hint = hintOf(code)
    const redirect = answer.status >= 300 && answer.status < 400
    const message = redirect
      ? `the broker answered with a redirect (${answer.status}), which is never followed`
      : `the broker answered ${answer.status} without saying why`
    return new JitError(code, message, hint === undefined ? {} : { hint })
  }
}

function isErrorCode(code: string): code is ErrorCode {
  return (ERROR_CODES as readonly string[]).includes(code)
}

function codeOf(status: number): ErrorCode {
  if (status === 401) return 'not_signed_in'
  if (status === 403) return 'denied'
  if (status === 404) return 'not_found'
  if (status === 429) return 'limit_reached'
  if (status >= 400 && status < 500) return 'request_invalid'
  return 'broker_failed'
}

function hintOf(code: ErrorCode): string | undefined {
  const signIn: readonly ErrorCode[] = ['not_signed_in', 'session_ended', 'token_invalid']
  return signIn.includes(code) ? 'jit login' : undefined
}
