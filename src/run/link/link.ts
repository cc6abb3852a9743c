import { rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSocketServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Authorizer } from '../../client/authorizer.ts'
import type { Clock } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import type { HttpAnswer } from '../../lib/http.ts'
import type { Grant } from '../../protocol/grant.ts'
import { MAX_MESSAGE_BYTES } from '../../protocol/lifeline.ts'
import { PROBLEM_MEDIA_TYPE } from '../../protocol/problem.ts'
import type { LeftMarker } from '../marker.ts'
import type { Ports } from '../ports/ports.ts'
import { Allowance } from './allowance.ts'
import { AskObserver, type WaitingAsk } from './ask-observer.ts'
import { type InsideMarker, InsideMarkers } from './inside-markers.ts'
import { LifelineRelay } from './lifeline-relay.ts'
import { LinkGrants } from './link-grants.ts'
import { notInSandbox, refusalOf, refuseUpgrade } from './refusal.ts'
import { Relay, readInside } from './relay.ts'
import { LIFELINE_PATH, openUpstream, UpgradeRefused } from './upstream.ts'

const MAX_CONNECTIONS = 64
const MAX_LIFELINES = 16
const MAX_HEADER_BYTES = 16 * 1024
/** Milliseconds: until a connection says anything, until a request is there, and between two. */
const FIRST_BYTE_WITHIN = 10_000
const REQUEST_WITHIN = 10_000
const IDLE = 5000
/** Requests of all that runs inside: each is signed and answered by the broker. */
const REQUESTS = { most: 64, perSecond: 20 }

export interface LinkParts {
  /** Where the socket is made: an absolute path in a folder that is this user's alone. */
  readonly socket: string
  /** URL of the broker, without a trailing slash. */
  readonly broker: string
  /** Of the session that acts for what is inside. */
  readonly authorizer: Authorizer
  readonly clock: Clock
  readonly ports: Ports
  /** A request made inside that waits for somebody; once for each. */
  readonly waits: (ask: WaitingAsk) => void
  /** A grant lives inside: says so outside, for the person's prompt. */
  readonly leave: (marker: InsideMarker) => LeftMarker
}

/** The one way out of a sandbox to its broker. */
export interface Link {
  /** Requests made inside that wait, or that nobody has used. None where the broker can't be asked any more. */
  undecided(): Promise<readonly Grant[]>
  /** Cuts every connection, and ends what was used through its ports. */
  close(): Promise<void>
}

/**
 * Listens on a socket for what runs inside one sandbox. The first connection proves that the sandbox
 * has it: the path is removed, and nobody else can ever connect.
 * @throws what the file system throws
 */
export async function openLink(parts: LinkParts): Promise<Link> {
  const link = new OpenLink(parts)
  await link.listen(parts.socket)
  return link
}

class OpenLink implements Link {
  readonly #parts: LinkParts
  readonly #grants: LinkGrants
  readonly #relay: Relay
  readonly #observer: AskObserver
  readonly #markers: InsideMarkers
  readonly #allowance: Allowance
  readonly #sockets = new Set<Socket>()
  readonly #lines = new Set<LifelineRelay>()
  readonly #server: Server
  readonly #http = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: REQUEST_WITHIN,
    requestTimeout: REQUEST_WITHIN,
    keepAliveTimeout: IDLE,
  })
  readonly #upgrades = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  })
  /** Lifelines, those on their way to the broker included. */
  #lifelines = 0

  constructor(parts: LinkParts) {
    const { broker, authorizer, clock, ports } = parts
    this.#parts = parts
    this.#grants = new LinkGrants(ports, clock)
    this.#observer = new AskObserver(parts.waits)
    this.#markers = new InsideMarkers(parts.leave)
    this.#allowance = new Allowance({ ...REQUESTS, clock })
    const [grants, observer] = [this.#grants, this.#observer]
    this.#relay = new Relay({ broker, authorizer, grants, observer })
    this.#server = createSocketServer((socket) => this.#accept(socket))
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#http.on('request', (request, response) => void this.#answer(request, response))
    this.#http.on('upgrade', (request, socket, head) => void this.#upgrade(request, socket, head))
    this.#http.on('clientError', (_, socket) => socket.destroy())
  }

  async listen(path: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject).listen(path, resolve)
    await promise
    this.#server.once('connection', () => rmSync(path, { force: true }))
  }

  async undecided(): Promise<readonly Grant[]> {
    return this.#observer.any ? this.#relay.undecided() : []
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const line of this.#lines) line.close()
    for (const socket of this.#sockets) socket.destroy()
    this.#markers.close()
    await this.#grants.close()
    await this.#parts.ports.close()
  }

  /** PostgreSQL's first packet begins with a length, whose first byte is zero; a request with a letter. */
  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    const late = setTimeout(() => socket.destroy(), FIRST_BYTE_WITHIN)
    socket.once('close', () => clearTimeout(late))
    socket.once('readable', () => {
      clearTimeout(late)
      const head: Buffer | null = socket.read()
      if (!head) socket.destroy()
      else if (head[0] === 0) this.#parts.ports.acceptPostgres(socket, head)
      else {
        socket.unshift(head)
        this.#http.emit('connection', socket)
      }
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#asked(request).catch(refusalOf)
    const { status, headers, body } = answer
    // What is left of a body that is too large is never read.
    if (!request.complete) response.setHeader('connection', 'close')
    response.writeHead(status, { 'content-type': String(headers['content-type']) }).end(body)
  }

  async #asked(request: IncomingMessage): Promise<HttpAnswer> {
    this.#admit(request)
    return this.#relay.answer(await readInside(request))
  }

  /**
   * A page that a browser inside shows is no program that asks (Fetch section 3.2).
   * @throws JitError `not_in_sandbox`, `limit_reached`
   */
  #admit({ headers }: IncomingMessage): void {
    if (headers.origin !== undefined) throw notInSandbox('a page in a browser')
    if (!this.#allowance.take()) throw tooMuch('requests')
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.#lifelines += 1
    socket.once('close', () => {
      this.#lifelines -= 1
    })
    try {
      this.#admit(request)
      if (request.url !== LIFELINE_PATH) throw notInSandbox(`GET ${request.url}`)
      if (this.#lifelines > MAX_LIFELINES) throw tooMuch('elevations at once')
      const upstream = await openUpstream(this.#parts)
      let joined = false
      if (!socket.destroyed) {
        this.#upgrades.handleUpgrade(request, socket, head, (inside) => {
          joined = true
          this.#join(inside, upstream)
        })
      }
      // What was no WebSocket's handshake is answered with 400, and leaves nothing behind.
      if (!joined) upstream.terminate()
    } catch (thrown) {
      if (isAway(thrown)) this.#grants.away()
      refuseUpgrade(socket, thrown instanceof UpgradeRefused ? brokers(thrown) : refusalOf(thrown))
    }
  }

  #join(inside: WebSocket, upstream: WebSocket): void {
    const [grants, observer, markers] = [this.#grants, this.#observer, this.#markers]
    const parts = { grants, clock: this.#parts.clock, observer, markers }
    const line = new LifelineRelay(inside, upstream, parts)
    this.#lines.add(line)
    inside.once('close', () => this.#lines.delete(line))
  }
}

/** Nothing answers, or what stands before a broker says that it isn't there. */
function isAway(thrown: unknown): boolean {
  if (thrown instanceof UpgradeRefused) return thrown.status >= 500
  return thrown instanceof JitError && thrown.code === 'broker_unreachable'
}

const brokers = ({ status, body }: UpgradeRefused): HttpAnswer => ({
  status,
  headers: { 'content-type': PROBLEM_MEDIA_TYPE },
  body,
})

function tooMuch(what: string): JitError {
  return new JitError('limit_reached', `too many ${what} in this sandbox`, {
    hint: 'wait a little',
  })
}
