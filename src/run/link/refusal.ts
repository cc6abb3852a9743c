import type { Duplex } from 'node:stream'
import { type ErrorCode, JitError } from '../../lib/errors.ts'
import type { HttpAnswer } from '../../lib/http.ts'
import { PROBLEM_MEDIA_TYPE, type Problem } from '../../protocol/problem.ts'

/** HTTP status by code; what is missing is the broker's, or that it is out of reach. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  request_invalid: 400,
  session_ended: 401,
  not_signed_in: 401,
  not_in_sandbox: 403,
  not_found: 404,
  limit_reached: 429,
}
const UNAVAILABLE = 503

/** An answer of the link's own, as the broker would give it (RFC 9457). */
export function refusalOf(thrown: unknown): HttpAnswer {
  const { code, message, hint } = JitError.from(thrown)
  const status = STATUS[code] ?? UNAVAILABLE
  const problem: Problem = {
    type: `/problems/${code}`,
    title: 'Refused by the sandbox',
    status,
    code,
    // What nobody foresaw may say more than belongs inside.
    detail: code === 'internal' ? 'the link failed' : message,
    ...(hint === undefined ? {} : { hint }),
  }
  return {
    status,
    headers: { 'content-type': PROBLEM_MEDIA_TYPE },
    body: JSON.stringify(problem),
  }
}

/** Answers an upgrade with something else than one, and hangs up. */
export function refuseUpgrade(socket: Duplex, { status, body }: HttpAnswer): void {
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nContent-Type: ${PROBLEM_MEDIA_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

/** What isn't on the list of what may be asked from inside. */
export function notInSandbox(what: string): JitError {
  return new JitError('not_in_sandbox', `not open inside a sandbox: ${what}`, {
    hint: 'the person does that, outside',
  })
}
