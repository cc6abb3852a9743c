import type { IncomingMessage, RequestOptions } from 'node:http'
import { isLoopback } from './address.ts'
import { JitError } from './errors.ts'
import { escapeForDisplay } from './escape.ts'
import { tracing } from './tracing.ts'

/** One request to the broker. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
  /** Milliseconds until the whole answer must be there; 10 s unless given. */
  readonly timeout?: number
  /** The largest answer taken, in bytes; 8 MB unless given. */
  readonly maxBytes?: number
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

const TIMEOUT = 10_000
const MAX_BYTES = 8 * 1024 * 1024

/**
 * Sends one request and reads the whole answer. Redirects are never followed: a token is meant for
 * the broker's own address. `node:http` instead of `fetch`, whose first call takes 23 ms more.
 * @throws JitError `broker_unreachable`, `broker_failed` (an answer too large), `cancelled`
 */
export function send(request: HttpRequest): Promise<HttpAnswer> {
  const attributes = { 'http.request.method': request.method, 'server.address': request.url.host }
  return tracing.during(`HTTP ${request.method}`, { kind: 'client', attributes }, async () => {
    const answer = await exchange(request)
    tracing.note({ 'http.response.status_code': answer.status })
    return answer
  })
}

async function exchange(request: HttpRequest): Promise<HttpAnswer> {
  const timeout = AbortSignal.timeout(request.timeout ?? TIMEOUT)
  const signal = request.signal ? AbortSignal.any([request.signal, timeout]) : timeout
  try {
    const response = await open(request, signal)
    const body = await read(response, request.maxBytes ?? MAX_BYTES)
    return { status: response.statusCode ?? 0, headers: response.headers, body }
  } catch (thrown) {
    if (thrown instanceof JitError) throw thrown
    if (request.signal?.aborted) throw new JitError('cancelled', 'cancelled', { cause: thrown })
    throw unreachable(
      request.url,
      timeout.aborted ? 'it does not answer' : reasonOf(thrown),
      thrown,
    )
  }
}

/**
 * `import` of `node:http` reads every export, among them the getters that load undici: 40 ms. The
 * module by itself takes 4.
 */
function transportOf(url: URL) {
  return url.protocol === 'https:'
    ? process.getBuiltinModule('node:https')
    : process.getBuiltinModule('node:http')
}

function open(request: HttpRequest, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const options: RequestOptions = {
    method: request.method,
    headers: {
      accept: 'application/json',
      ...tracing.headers(),
      ...request.headers,
      ...(request.body === undefined ? {} : { 'content-length': Buffer.byteLength(request.body) }),
    },
    signal,
  }
  transportOf(request.url)
    .request(request.url, options, resolve)
    .on('error', reject)
    .end(request.body)
  return promise
}

async function read(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    size += chunk.length
    if (size > maxBytes) {
      response.destroy()
      throw new JitError('broker_failed', `the answer is larger than ${maxBytes} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

export function unreachable(url: URL, reason: string, cause: unknown): JitError {
  return new JitError('broker_unreachable', `can't reach the broker at ${url.origin}: ${reason}`, {
    hint: hintFor(url, cause),
    cause,
  })
}

/** A server that answers TLS with something else is a plain one, which only loopback may be. */
function hintFor(url: URL, cause: unknown): string {
  return isNotTls(cause) && isLoopback(url)
    ? `did you mean http://${url.host}?`
    : 'is the address right (JIT_BROKER, config.yaml), and the broker running?'
}

const isNotTls = (thrown: unknown): boolean => codeOf(thrown) === 'EPROTO'

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was cut',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the host name can not be looked up now',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no network',
  ETIMEDOUT: 'it does not answer',
  // node:tls puts OpenSSL's own words, with file and line, under this code.
  EPROTO: 'it does not speak TLS',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed (NODE_EXTRA_CA_CERTS names others)',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is not trusted (NODE_EXTRA_CA_CERTS names others)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'its certificate is not trusted (NODE_EXTRA_CA_CERTS names others)',
}

/** Why a connection failed, in words. */
export function reasonOf(thrown: unknown): string {
  const code = codeOf(thrown)
  if (code && REASONS[code]) return REASONS[code]
  if (code?.startsWith('ERR_SSL_')) return `the TLS handshake failed (${code})`
  if (code?.startsWith('HPE_')) return 'it does not answer in HTTP'
  const { message } = firstOf(thrown)
  return escapeForDisplay(message || code || 'unknown error')
}

const codeOf = (thrown: unknown): string | undefined => firstOf(thrown).code

/** Whether somebody was there and hung up before answering, as a server does that stops. */
export const isBrokenOff = ({ cause }: JitError): boolean => codeOf(cause) === 'ECONNRESET'

/** An address with several records fails with all their errors in one. */
function firstOf(thrown: unknown): { code?: string; message?: string } {
  return (thrown instanceof AggregateError ? thrown.errors[0] : thrown) ?? {}
}
