import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { JitError } from '../lib/errors.ts'
import { PROBLEM_MEDIA_TYPE, type Problem } from '../protocol/problem.ts'
import { problemOf } from './problem.ts'
import { REQUEST_ID_HEADER, requestId } from './telemetry/request-id.ts'

/** What Node itself finds wrong with a request, and the status for it; all else is 400. */
const UNREAD: Readonly<Record<string, readonly [status: number, detail: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'the head of the request is too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request took too long to arrive'],
}

/** Refuses an upgrade as any other request would be (RFC 9457), and hangs up. */
export function refuseUpgrade(socket: Duplex, thrown: unknown): void {
  hangUp(socket as Socket, problemOf(JitError.from(thrown)))
}

/** Refuses a request before anything looks at it, and hangs up after the answer. */
export function refuseRequest(response: ServerResponse, thrown: unknown): void {
  const problem = problemOf(JitError.from(thrown))
  const body = JSON.stringify(problem)
  response.writeHead(problem.status, headersOf(problem, body)).end(body)
}

/** Refuses what is no request, or never became one. */
export function refuseUnread(error: NodeJS.ErrnoException, socket: Duplex): void {
  const [status, detail] = UNREAD[error.code ?? ''] ?? [400, 'that is no HTTP request']
  if (!socket.writable || error.code === 'ECONNRESET') socket.destroy()
  else hangUp(socket as Socket, { ...problemOf(new JitError('request_invalid', detail)), status })
}

function hangUp(socket: Socket, problem: Problem): void {
  const body = JSON.stringify(problem)
  const lines = Object.entries(headersOf(problem, body)).map(([name, value]) => `${name}: ${value}`)
  const title = STATUS_CODES[problem.status]
  socket.end(`HTTP/1.1 ${problem.status} ${title}\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
  // The other side may leave its half open for ever.
  socket.destroySoon()
}

function headersOf({ retry_after: after }: Problem, body: string): Record<string, string | number> {
  const id = requestId()
  return {
    'Content-Type': PROBLEM_MEDIA_TYPE,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...(after === undefined ? {} : { 'Retry-After': after }),
    Connection: 'close',
    ...(id === undefined ? {} : { [REQUEST_ID_HEADER]: id }),
  }
}
