import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { type WebSocket, WebSocketServer } from 'ws'
import { JitError } from '../lib/errors.ts'
import { MAX_MESSAGE_BYTES } from '../protocol/lifeline.ts'
import { PROBLEM_MEDIA_TYPE } from '../protocol/problem.ts'
import type { App } from './app.ts'
import type { BrokerConfig } from './config/config.ts'
import { isLoopbackHost } from './config/values.ts'
import { problemOf } from './problem.ts'
import type { Session } from './sessions.ts'

/** What takes over the WebSockets of a path. */
interface Lines {
  /** Whether such a session may come at all. @throws JitError */
  admit?(session: Session): void
  accept(socket: WebSocket, session: Session): void
}

/** Something else that answers on the same socket, for paths of its own: the development provider. */
export interface Mount {
  readonly prefix: string
  readonly listener: RequestListener
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
  if (!tls) return createServer()
  try {
    const pair = { cert: readFileSync(tls.cert), key: readFileSync(tls.key) }
    return createTlsServer({ ...pair, minVersion: 'TLSv1.2' })
  } catch (cause) {
    throw new JitError('config_invalid', 'tls: the certificate or its key cannot be used', {
      cause,
    })
  }
}

/** Refuses an upgrade as any other request would be (RFC 9457), and hangs up. */
function refuseUpgrade(socket: Socket, thrown: unknown): void {
  const problem = problemOf(JitError.from(thrown))
  const body = JSON.stringify(problem)
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\n` +
      `Content-Type: ${PROBLEM_MEDIA_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  )
  // The other side may leave its half open for ever.
  socket.destroySoon()
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

/** Answers requests and lifelines on a bound server. */
export function serve(
  server: Server,
  {
    app,
    lines,
    authenticateUpgrade,
    mounts,
  }: {
    app: App
    /** By path. */
    lines: Readonly<Record<string, Lines>>
    authenticateUpgrade: (request: IncomingMessage) => Promise<Session>
    mounts: readonly Mount[]
  },
): void {
  const answer = getRequestListener(app.fetch)
  server.removeAllListeners('request').removeAllListeners('upgrade')
  server.on('request', (request, response) => {
    const mount = mounts.find(({ prefix }) => request.url?.startsWith(prefix))
    void (mount?.listener ?? answer)(request, response)
  })
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES })
  server.on('upgrade', async (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    try {
      const path = request.url?.split('?')[0] ?? ''
      const line = Object.hasOwn(lines, path) ? lines[path] : undefined
      if (!line) throw new JitError('not_found', `there is no lifeline at ${request.url}`)
      const session = await authenticateUpgrade(request)
      line.admit?.(session)
      sockets.handleUpgrade(request, socket, head, (socket) => line.accept(socket, session))
    } catch (thrown) {
      refuseUpgrade(socket as Socket, thrown)
    }
  })
}

/** Stops listening; resolves when the last connection is gone, which takes 2 s at most. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), 2000)
  await closed
  clearTimeout(timer)
}
