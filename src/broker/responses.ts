import type { Context } from 'hono'
import type { JitError } from '../lib/errors.ts'
import { PROBLEM_MEDIA_TYPE, type Problem } from '../protocol/problem.ts'
import { problemOf } from './problem.ts'

/** An error as a response: RFC 9457, or RFC 6749 where OAuth clients expect theirs. */
export function errorResponse(c: Context, error: JitError, url: string): Response {
  const problem = problemOf(error)
  if (problem.retry_after !== undefined) c.header('Retry-After', String(problem.retry_after))
  if (c.req.path.startsWith('/oauth/')) return oauthError(c, problem)
  if (problem.status === 401) c.header('WWW-Authenticate', challenge(c, problem, url))
  return c.body(JSON.stringify(problem), problem.status as 400, {
    'Content-Type': PROBLEM_MEDIA_TYPE,
  })
}

/** RFC 6749 section 5.2, RFC 9449 section 5, with the problem's own members beside. */
function oauthError(c: Context, problem: Problem): Response {
  const status = problem.status === 401 ? 400 : problem.status
  const body = { ...problem, status, error: oauthCode(problem), error_description: problem.detail }
  return c.body(JSON.stringify(body), status as 400, {
    'Content-Type': 'application/json',
  })
}

function oauthCode({ code, status }: Problem): string {
  if (code.startsWith('proof_')) return 'invalid_dpop_proof'
  if (status === 401) return 'invalid_grant'
  return status < 500 && status !== 429 ? 'invalid_request' : 'temporarily_unavailable'
}

/** The scheme, and where to sign in (RFC 9728 section 5.1); why, only to who tried (RFC 6750 section 3.1). */
function challenge(c: Context, problem: Problem, url: string): string {
  if (c.req.path.startsWith('/grants/')) return 'Basic realm="introspection", charset="UTF-8"'
  const metadata = `resource_metadata="${url}/.well-known/oauth-protected-resource"`
  if (c.req.header('Authorization') === undefined) return `DPoP ${metadata}`
  if (problem.code === 'insufficient_user_authentication') return stepUpChallenge(problem, metadata)
  const error = problem.code.startsWith('proof_') ? 'invalid_dpop_proof' : 'invalid_token'
  return `DPoP error="${error}", ${metadata}`
}

/** RFC 9470 section 3: which sign-in the same request would be granted with. */
function stepUpChallenge(problem: Problem, metadata: string): string {
  const parameters = [
    'error="insufficient_user_authentication"',
    `error_description="${quotable(problem.detail)}"`,
    ...(problem.max_age === undefined ? [] : [`max_age="${problem.max_age}"`]),
    ...(problem.acr_values?.length
      ? [`acr_values="${quotable(problem.acr_values.join(' '))}"`]
      : []),
    metadata,
  ]
  return `DPoP ${parameters.join(', ')}`
}

/** The characters that RFC 6750 section 3 allows in a quoted parameter. */
function quotable(text: string): string {
  return text.replace(/["\\]/g, "'").replace(/[^\x20-\x7e]/g, '?')
}
