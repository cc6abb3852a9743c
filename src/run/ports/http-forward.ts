import {
  Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import { type Duplex, pipeline, type Readable } from 'node:stream'
import { type Origin, originKey, portOf } from './origin.ts'
import { replacing } from './response-mask.ts'

/** Those of one connection alone, and a proxy's own (RFC 9110 section 7.6.1). */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly origin: Origin
  /** The client's, that `origin` knows. */
  readonly connection: Duplex
  /** Path and query. */
  readonly path: string
}

/** Sends requests on to their API, with tokens put in, and the answers back, with tokens taken out. */
export class Forwarder {
  readonly #plain = new Agent({ keepAlive: true })
  readonly #secure = new HttpsAgent({ keepAlive: true })

  forward(exchange: Exchange): void {
    const { request, response, origin } = exchange
    if (!isFor(request, origin)) {
      refuse(response, 421, `the request names another host than ${origin.key}`)
      return
    }
    const upstream = this.#opened(exchange)
    if (!upstream) return
    upstream.once('response', (answer) => giveBack(answer, exchange))
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      // What is still to come is of no use to anybody; the answer may be on its way already.
      request.unpipe()
      request.resume()
      if (response.headersSent) return
      refuse(response, 502, `${origin.key} can't be reached (${error.code ?? error.name})`)
    })
    response.once('close', () => upstream.destroy())
    sendBody(exchange, upstream)
  }

  close(): void {
    this.#plain.destroy()
    this.#secure.destroy()
  }

  /** What can't be sent, such as a token of more than one line, is answered here. */
  #opened(exchange: Exchange): ClientRequest | undefined {
    try {
      return this.#open(exchange)
    } catch {
      refuse(exchange.response, 502, `the request can't be sent to ${exchange.origin.key}`)
      return undefined
    }
  }

  #open({ request, origin, connection, path }: Exchange): ClientRequest {
    const { hostname, protocol } = origin.url
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    const secure = protocol === 'https:'
    const headers = origin.reveal(forwarded(request), connection)
    const options = { host, port: origin.port, path, method: request.method ?? 'GET', headers }
    const servername = isIP(host) ? {} : { servername: host }
    return secure
      ? httpsRequest({ ...options, ...servername, agent: this.#secure })
      : httpRequest({ ...options, agent: this.#plain })
  }
}

/** Says no in the proxy's own name. */
export function refuse(response: ServerResponse, status: number, why: string): void {
  response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' })
  response.end(`jit: ${why}\n`)
}

/** One server may speak for many hosts: a token is for the one that it was asked for. */
function isFor({ headers }: IncomingMessage, { url, key }: Origin): boolean {
  const named = URL.parse(`${url.protocol}//${headers.host ?? ''}`)
  return named !== null && originKey(named.hostname, portOf(named)) === key
}

function forwarded(request: IncomingMessage): IncomingHttpHeaders {
  const headers = withoutHops(request.headers)
  delete headers.expect
  if (request.headers['transfer-encoding'] !== undefined) headers['transfer-encoding'] = 'chunked'
  // What is compressed can't be searched for what has to be taken out.
  return { ...headers, 'accept-encoding': 'identity' }
}

function withoutHops(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = String(headers.connection ?? '').split(',')
  const dropped = new Set([...HOP_BY_HOP, ...named.map((name) => name.trim().toLowerCase())])
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name)))
}

function sendBody({ request, origin, connection }: Exchange, upstream: ClientRequest): void {
  const { headers } = request
  const hasBody =
    headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
  if (!hasBody) {
    upstream.end()
    return
  }
  const pairs = origin.tokens
  origin.usesAll(connection)
  if (pairs.some(({ placeholder, token }) => placeholder.length !== Buffer.byteLength(token))) {
    upstream.removeHeader('content-length')
    upstream.setHeader('transfer-encoding', 'chunked')
  }
  const reveals = pairs.map(({ placeholder, token }) =>
    replacing(Buffer.from(placeholder), Buffer.from(token)),
  )
  // Not a pipeline: that would take the client's connection down with the API's.
  const body = reveals.reduce((stream: Readable, reveal) => stream.pipe(reveal), request)
  body.pipe(upstream)
}

function giveBack(answer: IncomingMessage, { response, origin }: Exchange): void {
  const headers = origin.conceal(withoutHops(answer.headers))
  const readable = answer.headers['content-encoding'] ?? 'identity'
  const pairs = readable === 'identity' ? origin.tokens : []
  if (pairs.some(({ placeholder, token }) => placeholder.length !== Buffer.byteLength(token))) {
    delete headers['content-length']
  }
  const conceals = pairs.map(({ placeholder, token }) =>
    replacing(Buffer.from(token), Buffer.from(placeholder)),
  )
  // Fewer than 100 is a status that can be read, and none that may be said (RFC 9110 section 15).
  const { statusCode = 0 } = answer
  response.writeHead(statusCode < 100 ? 502 : statusCode, headers)
  response.flushHeaders()
  pipeline([answer, ...conceals, response], (error) => {
    if (error) response.destroy()
  })
}
