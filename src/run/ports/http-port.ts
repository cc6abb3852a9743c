import { timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { Authority } from './authority.ts'
import { Forwarder, refuse } from './http-forward.ts'
import { Origin, originKey, portOf } from './origin.ts'

/** Milliseconds for TLS with a client. */
const HANDSHAKE_WITHIN = 10_000

/** Connections at a time. */
const MAX_CONNECTIONS = 256

/** User name at the proxy; the password is what counts. */
const PROXY_USER = 'jit'

const CHALLENGE = 'Basic realm="jit"'

interface Options {
  /** What a client must know, where others could connect. */
  readonly password: string | undefined
  /** Made when the first API with TLS needs it. */
  readonly authority: () => Promise<Authority>
}

/**
 * A forward proxy (RFC 9110 section 7.6) to the APIs of live leases and to nothing else: what stands
 * for a token is replaced by it on the way there.
 */
export class HttpPort {
  readonly #options: Options
  readonly #origins = new Map<string, Origin>()
  readonly #forwarder = new Forwarder()
  /** Takes the clients' connections. */
  readonly #outer = createServer()
  /** Takes what is said inside a tunnel. */
  readonly #inner = createServer()
  readonly #sockets = new Set<Duplex>()
  readonly #tunnels = new WeakMap<Duplex, Origin>()

  constructor(options: Options) {
    this.#options = options
    this.#outer.on('request', (request, response) => this.#answerPlain(request, response))
    this.#outer.on('connect', (request, socket, head) => {
      socket.on('error', () => {})
      void this.#tunnel(request, { socket, head }).catch(() => socket.destroy())
    })
    this.#inner.on('request', (request, response) => this.#answerInside(request, response))
    for (const server of [this.#outer, this.#inner]) {
      server.on('clientError', (_error, socket) => socket.destroy())
    }
  }

  /** `jit:PASSWORD`, for the proxy's URL. */
  get login(): string {
    return `${PROXY_USER}:${this.#options.password ?? ''}`
  }

  /** The APIs of live leases. */
  get urls(): readonly URL[] {
    return [...this.#origins.values()].map(({ url }) => url)
  }

  /** @returns what stands for the token */
  open({ lease, url, token }: { lease: string; url: URL; token: string }): string {
    const key = originKey(url.hostname, portOf(url))
    const origin = this.#origins.get(key) ?? new Origin(url)
    this.#origins.set(key, origin)
    return origin.hold(lease, token)
  }

  accept(socket: Duplex): void {
    socket.on('error', () => {})
    if (this.#sockets.size >= MAX_CONNECTIONS) {
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    this.#outer.emit('connection', socket)
  }

  /** What stood for the lease's token stays what it is from now on. */
  end(lease: string): void {
    for (const [key, origin] of this.#origins) {
      if (origin.forget(lease) && origin.tokens.length === 0) this.#origins.delete(key)
    }
  }

  close(): void {
    this.#origins.clear()
    this.#forwarder.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Plain HTTP, with the whole URL in the request line. */
  #answerPlain(request: IncomingMessage, response: ServerResponse): void {
    if (!this.#mayEnter(request)) {
      challenge(response)
      return
    }
    const url = URL.parse(request.url ?? '')
    const origin = url ? this.#origins.get(originKey(url.hostname, portOf(url))) : undefined
    if (url?.protocol !== 'http:' || origin?.url.protocol !== 'http:') {
      refuse(response, 403, `no live grant is for ${url?.host || 'that'}`)
      return
    }
    const connection = request.socket
    origin.connected(connection)
    const path = `${url.pathname}${url.search}`
    this.#forwarder.forward({ request, response, origin, connection, path })
  }

  #answerInside(request: IncomingMessage, response: ServerResponse): void {
    const connection = request.socket
    const origin = this.#tunnels.get(connection)
    const path = request.url ?? ''
    if (origin && path.startsWith('/')) {
      this.#forwarder.forward({ request, response, origin, connection, path })
    } else {
      refuse(response, 400, 'not a path')
    }
  }

  async #tunnel(
    request: IncomingMessage,
    { socket, head }: { socket: Duplex; head: Buffer },
  ): Promise<void> {
    if (!this.#mayEnter(request)) {
      socket.end(
        `HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: ${CHALLENGE}\r\n\r\n`,
      )
      return
    }
    const target = URL.parse(`http://${request.url}`)
    // Without one in the text, the port is that of http.
    const origin = target && this.#origins.get(originKey(target.hostname, portOf(target)))
    if (!origin) {
      const why = `jit: no live grant is for ${target?.host ?? 'that'}\n`
      socket.end(`HTTP/1.1 403 Forbidden\r\ncontent-length: ${why.length}\r\n\r\n${why}`)
      return
    }
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
    if (head.length > 0) socket.unshift(head)
    const inside = origin.url.protocol === 'https:' ? await this.#unwrap(socket, origin) : socket
    if (inside.destroyed) return
    this.#tunnels.set(inside, origin)
    origin.connected(inside)
    this.#inner.emit('connection', inside)
  }

  /** Ends the client's TLS here, in the API's name. */
  async #unwrap(socket: Duplex, { url }: Origin): Promise<Duplex> {
    const authority = await this.#options.authority()
    const secure = new TLSSocket(socket as never, {
      isServer: true,
      secureContext: authority.contextFor(url.hostname),
      ALPNProtocols: ['http/1.1'],
    })
    secure.on('error', () => secure.destroy())
    const timer = setTimeout(() => secure.destroy(), HANDSHAKE_WITHIN)
    secure.once('secure', () => clearTimeout(timer))
    secure.once('close', () => {
      clearTimeout(timer)
      socket.destroy()
    })
    return secure
  }

  #mayEnter({ headers }: IncomingMessage): boolean {
    const { password } = this.#options
    if (password === undefined) return true
    const [, given = ''] = /^basic (\S+)$/i.exec(headers['proxy-authorization'] ?? '') ?? []
    return isSame(Buffer.from(given, 'base64'), Buffer.from(this.login))
  }
}

function challenge(response: ServerResponse): void {
  response.setHeader('proxy-authenticate', CHALLENGE)
  refuse(response, 407, 'this proxy is for the command that it was opened for')
}

function isSame(given: Buffer, wanted: Buffer): boolean {
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
