import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { type WebSocket, WebSocketServer } from 'ws'
import { JitError } from '../lib/errors.ts'
import { type SpanOptions, tracing } from '../lib/tracing.ts'
import { MAX_MESSAGE_BYTES } from '../protocol/lifeline.ts'
import type { App } from './app.ts'
import type { ClientAddresses } from './client-address.ts'
import type { BrokerConfig } from './config/config.ts'
import { isLoopbackHost } from './config/values.ts'
import { Connections } from './connections.ts'
import type { RateLimits } from './rate-limits.ts'
import { refuseRequest, refuseUnread, refuseUpgrade } from './refusal.ts'
import type { Session } from './sessions.ts'
import { asRequest, REQUEST_ID_HEADER, requestId } from './telemetry/request-id.ts'

/** What a connection may take, in milliseconds, and how large the head of a request may be. */
const TIMES = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16 * 1024,
}
const HANDSHAKE_MS = 10_000
/** From a request to the last byte of its answer: the slowest waits for targets, which takes seconds. */
const ANSWER_MS = 60_000
/** A proxy that keeps its connections for a minute, as most do, must not find one closed. */
const PROXY_KEEP_ALIVE_MS = 75_000

/** What takes over the WebSockets of a path. */
interface Lines {
  /** Whether such a session may come at all. @throws JitError */
  admit(session: Session): void
  accept(socket: WebSocket, session: Session): void
}

/** Something else that answers on the same socket, for paths of its own: the development provider. */
export interface Mount {
  readonly prefix: string
  readonly listener: RequestListener
}

/** What answers on a server. */
interface ServedParts {
  readonly config: BrokerConfig
  readonly app: App
  /** By path. */
  readonly lines: Readonly<Record<string, Lines>>
  readonly authenticateUpgrade: (request: IncomingMessage) => Promise<Session>
  readonly mounts: readonly Mount[]
  readonly rates: RateLimits
  readonly addresses: ClientAddresses
}

/**
 * Plain HTTP is for loopback, where nobody else listens; a proxy in front of it runs there too.
 * @throws JitError `config_invalid`
 */
export function checkTransport(config: BrokerConfig): void {
  if (config.tls || config.dangerouslyAllowPlainHttp) return
  if (isLoopbackHost(config.listen.host)) return
  throw new JitError('config_invalid', `listen: ${config.listen.host} is not loopback`, {
    hint: 'set tls: { cert, key }, or listen on 127.0.0.1 behind a proxy that speaks TLS',
  })
}

function createPlainOrTls({ tls }: Pick<BrokerConfig, 'tls'>): Server {
  if (!tls) return createServer(TIMES)
  try {
    const pair = { cert: readFileSync(tls.cert), key: readFileSync(tls.key) }
    const safe = { minVersion: 'TLSv1.2', handshakeTimeout: HANDSHAKE_MS } as const
    return createTlsServer({ ...pair, ...safe, ...TIMES })
  } catch (cause) {
    throw new JitError('config_invalid', 'tls: the certificate or its key cannot be used', {
      cause,
    })
  }
}

/**
 * A server that listens and answers nothing yet.
 * @throws JitError `config_invalid` when the address can't be listened on
 */
export async function bind(config: Pick<BrokerConfig, 'listen' | 'tls'>): Promise<Server> {
  const server = createPlainOrTls(config)
  // Whoever comes before anybody serves is told to come again, not left waiting.
  server.on('request', (_, response) => response.writeHead(503, { 'Retry-After': '1' }).end())
  server.on('upgrade', (_, socket) => socket.destroy())
  server.on('clientError', refuseUnread)
  const { host, port } = config.listen
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const code = (cause as NodeJS.ErrnoException).code
      reject(new JitError('config_invalid', `listen: ${host}:${port}: ${code}`, { cause }))
    })
    server.listen(port, host, resolve)
  })
  return server
}

/** The port that a bound server listens on. */
export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

function spanOf({ headers }: IncomingMessage): SpanOptions {
  const { traceparent: parent } = headers
  return { kind: 'server', ...(typeof parent === 'string' ? { parent } : {}) }
}

/** Answers requests and lifelines on a bound server. */
export function serve(server: Server, parts: ServedParts): void {
  const { app, mounts, config, addresses } = parts
  const connections = new Connections(config.limits, addresses)
  connections.watch(server)
  if (config.trustedProxies.length > 0) server.keepAliveTimeout = PROXY_KEEP_ALIVE_MS
  const answer = getRequestListener(app.fetch)
  server.removeAllListeners('request').removeAllListeners('upgrade')
  server.on('request', (request, response) => {
    try {
      connections.check(request.socket)
    } catch (thrown) {
      return refuseRequest(response, thrown)
    }
    // Whoever doesn't read their answer has it kept for them in memory until then.
    const late = setTimeout(() => request.socket.destroy(), ANSWER_MS)
    response.once('close', () => clearTimeout(late))
    const mount = mounts.find(({ prefix }) => request.url?.startsWith(prefix))
    void (mount?.listener ?? answer)(request, response)
  })
  serveLines(server, connections, parts)
}

function serveLines(
  server: Server,
  connections: Connections,
  { lines, rates, addresses, authenticateUpgrade }: ServedParts,
): void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    // Whoever pings and doesn't read would have the answers kept in memory: the channel answers.
    autoPong: false,
  })
  sockets.on('headers', (headers) => headers.push(`${REQUEST_ID_HEADER}: ${requestId()}`))
  const upgrade = async (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    try {
      connections.check(socket)
      const arrival = rates.arrive(addresses.of(request))
      const path = request.url?.split('?')[0] ?? ''
      const line = Object.hasOwn(lines, path) ? lines[path] : undefined
      if (!line) throw new JitError('not_found', `there is no lifeline at ${request.url}`)
      const session = await authenticateUpgrade(request)
      arrival.of(session.principal)
      line.admit(session)
      connections.line(request)
      sockets.handleUpgrade(request, socket, head, (socket) => line.accept(socket, session))
    } catch (thrown) {
      refuseUpgrade(socket, thrown)
    }
  }
  server.on('upgrade', (request, socket, head) =>
    asRequest(() =>
      tracing.during('connect', spanOf(request), () => upgrade(request, socket as Socket, head)),
    ),
  )
}

/** Stops listening; resolves when the last connection is gone, which takes 2 s at most. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), 2000)
  await closed
  clearTimeout(timer)
}
