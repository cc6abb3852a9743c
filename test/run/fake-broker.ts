import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { newId } from '../../src/lib/handle.ts'
import type { Approval } from '../../src/protocol/approval.ts'
import type { EndedBy, Receipt } from '../../src/protocol/grant.ts'
import {
  ClientMessage,
  type DeliveredCredential,
  LIFELINE_CLOSE,
  type ServerMessage,
} from '../../src/protocol/lifeline.ts'
import type { Obligation } from '../../src/protocol/obligation.ts'
import { parseJson } from '../../src/protocol/parse.ts'
import { PROBLEM_MEDIA_TYPE, type Problem } from '../../src/protocol/problem.ts'
import { approvalBy } from './requests.ts'

/** What a fake broker does; each part may be changed while it runs. */
export interface Behaviour {
  /** Seconds. */
  ttl: number
  grace: number
  credentials: DeliveredCredential[]
  /** What a request waits for before it is granted. */
  obligation?: Obligation
  /** Milliseconds until it lapses. */
  lapse: number
  /** Answers plain HTTP; 404 where it doesn't. */
  http?: (call: Call) => Promise<Reply> | Reply | undefined
  /** Answers an upgrade instead of taking it. */
  refuse?: Problem
  /** Takes the place of the answer to a message. */
  answer?: (message: ClientMessage, line: FakeLine) => boolean
}

/** One plain HTTP request. */
export interface Call {
  /** `GET /v1/grants` */
  readonly route: string
  readonly body: unknown
}

export interface Reply {
  readonly status?: number
  readonly body: unknown
}

/** One connection as the fake broker sees it. */
export interface FakeLine {
  readonly socket: WebSocket
  send(message: ServerMessage): void
}

export function problem(code: string, status: number, detail: string): Problem {
  return { type: `/problems/${code}`, title: code, status, code, detail }
}

export function credential(env: Record<string, string>, unset: string[] = []): DeliveredCredential {
  return {
    lease: '01lease',
    target: 'shop-db',
    type: 'postgres',
    handle: 'j12345abcdefghijklmnopqrstuvwxyz',
    revocability: 'hard',
    expires_at: new Date(Date.now() + 900_000).toISOString(),
    renewable: false,
    env,
    unset,
  }
}

/** Speaks the lifeline protocol with canned answers, and writes down what it was sent. */
export class FakeBroker implements AsyncDisposable {
  /** One of its own: what is started on a grant is ended by it, whoever on this machine started it. */
  readonly grant = `g_${newId(Date.now())}`
  readonly behaviour: Behaviour = {
    ttl: 900,
    grace: 10,
    lapse: 1_800_000,
    credentials: [credential({ SHOP: 'x' })],
  }
  readonly received: ClientMessage[] = []
  readonly upgrades: IncomingMessage[] = []
  readonly calls: Call[] = []
  readonly #server: Server
  readonly #sockets = new WebSocketServer({ noServer: true })
  readonly #listeners = new Set<() => void>()
  #secret = 0
  #endedBy: EndedBy = 'exit'

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(port = 0): Promise<FakeBroker> {
    const server = createServer()
    const broker = new FakeBroker(server)
    server.on('request', (request, response) => void broker.#serve(request, response))
    server.on('upgrade', (request, socket, head) => {
      broker.upgrades.push(request)
      const { refuse } = broker.behaviour
      if (refuse) {
        const body = JSON.stringify(refuse)
        const status = `HTTP/1.1 ${refuse.status} No`
        const type = `content-type: ${PROBLEM_MEDIA_TYPE}`
        const length = `content-length: ${Buffer.byteLength(body)}`
        socket.end([status, type, length, 'connection: close', '', body].join('\r\n'))
        return
      }
      broker.#sockets.handleUpgrade(request, socket, head, (line) => broker.#accept(line))
    })
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    return broker
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** How many lifelines are open. */
  get lines(): number {
    return this.#sockets.clients.size
  }

  /** Resolves once `count` messages of a type have come. */
  async waitFor<T extends ClientMessage['type']>(
    type: T,
    count = 1,
  ): Promise<Extract<ClientMessage, { type: T }>> {
    const found = () => this.received.filter((message) => message.type === type)[count - 1]
    while (!found()) {
      await new Promise<void>((resolve) => this.#listeners.add(resolve))
    }
    return found() as Extract<ClientMessage, { type: T }>
  }

  /** Ends the grant on every connection, as a broker does: the receipt follows. */
  revoke(endedBy: EndedBy, reason = ''): void {
    this.#endedBy = endedBy
    this.#each((line) => {
      line.send({ type: 'revoked', grant: this.grant, ended_by: endedBy, reason })
      line.send({ type: 'released', grant: this.grant, receipt: this.receipt() })
      line.socket.close(LIFELINE_CLOSE.done)
    })
  }

  /** Lets what waits go on, with somebody's yes. */
  approve(...approvals: Approval[]): void {
    const { credentials } = this.behaviour
    delete this.behaviour.obligation
    this.#each((line) => {
      const said = approvals.length > 0 ? approvals : [approvalBy('dana')]
      line.send({ type: 'approved', grant: this.grant, approvals: said })
      line.send({ type: 'granted', ...this.#handover(), credentials })
    })
  }

  /** Answers what waits with a problem, and closes. */
  fail(code: string, status: number, detail: string): void {
    this.#each((line) => {
      line.send({ type: 'problem', problem: problem(code, status, detail) })
      line.socket.close(LIFELINE_CLOSE.done)
    })
  }

  /** Closes all connections, as a broker does that stops in order. */
  restart(): void {
    for (const socket of this.#sockets.clients) socket.close(LIFELINE_CLOSE.restarting)
  }

  /** Cuts all connections, as a broken network does. */
  cut(): void {
    for (const socket of this.#sockets.clients) socket.terminate()
  }

  receipt(): Receipt {
    const at = new Date().toISOString()
    return {
      grant: this.grant,
      state: 'revoked',
      ended_by: this.#endedBy,
      ended_at: at,
      leases: this.behaviour.credentials.map(({ target, handle, revocability }) => ({
        target,
        handle,
        outcome: 'revoked',
        revocability,
        at,
      })),
      log: { seq: 7, hash: 'ab'.repeat(32) },
    }
  }

  async stop(): Promise<void> {
    this.cut()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #each(act: (line: FakeLine) => void): void {
    for (const socket of this.#sockets.clients) act(lineOf(socket))
  }

  #accept(socket: WebSocket): void {
    const line = lineOf(socket)
    const ping = setInterval(() => socket.ping(), 1000)
    socket.on('close', () => clearInterval(ping))
    socket.on('error', () => {})
    socket.on('message', (data) => {
      const message = parseJson(ClientMessage, String(data), { what: 'message' })
      this.received.push(message)
      if (!this.behaviour.answer?.(message, line)) this.#answer(message, line)
      this.#tell()
    })
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    const route = `${request.method} ${request.url}`
    const call = { route, body: text === '' ? undefined : JSON.parse(text) }
    this.calls.push(call)
    const notFound = { status: 404, body: problem('not_found', 404, 'there is no such thing') }
    const unless = route.startsWith('GET /v1/sandboxes') ? { body: { sandboxes: [] } } : notFound
    const { status = 200, body }: Reply = (await this.behaviour.http?.(call)) ?? unless
    const type = status < 400 ? 'application/json' : PROBLEM_MEDIA_TYPE
    response.writeHead(status, { 'content-type': type }).end(JSON.stringify(body))
    this.#tell()
  }

  /** Resolves once this was called `count` times. */
  async waitForCall(route: string, count = 1): Promise<Call> {
    const found = () => this.calls.filter((call) => call.route === route)[count - 1]
    while (!found()) await new Promise<void>((resolve) => this.#listeners.add(resolve))
    return found() as Call
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
    this.#listeners.clear()
  }

  #wait({ send }: FakeLine): void {
    const { obligation, lapse, credentials } = this.behaviour
    if (!obligation) {
      send({ type: 'granted', ...this.#handover(), credentials })
      return
    }
    const lapses_at = new Date(Date.now() + lapse).toISOString()
    const policies = ['production-needs-oncall']
    send({ type: 'pending', grant: this.grant, obligation, policies, lapses_at })
  }

  #answer(message: ClientMessage, line: FakeLine): void {
    const { socket, send } = line
    if (message.type === 'request' || message.type === 'redeem') {
      const { environment, task } =
        message.type === 'request' ? message.details : { environment: 'prod', task: 'deploy' }
      const targets = this.behaviour.credentials.map(({ target }) => target)
      const { ttl } = this.behaviour
      send({ type: 'requested', grant: this.grant, environment, tier: 'test', task, targets, ttl })
      this.#wait(line)
    } else if (message.type === 'continue') {
      this.#wait(line)
    } else if (message.type === 'detach') {
      socket.close(LIFELINE_CLOSE.done)
    } else if (message.type === 'resume') {
      if (message.secret === `s${this.#secret}`) {
        send({ type: 'resumed', ...this.#handover(), credentials: [] })
      } else {
        send({ type: 'problem', problem: problem('grant_ended', 409, 'the grant is over') })
        socket.close(LIFELINE_CLOSE.done)
      }
    } else if (message.type === 'release') {
      send({ type: 'released', grant: this.grant, receipt: this.receipt() })
      socket.close(LIFELINE_CLOSE.done)
    }
  }

  #handover() {
    this.#secret += 1
    const { ttl, grace } = this.behaviour
    const expires_at = new Date(Date.now() + ttl * 1000).toISOString()
    return { grant: this.grant, resume_secret: `s${this.#secret}`, grace, expires_at }
  }
}

function lineOf(socket: WebSocket): FakeLine {
  return { socket, send: (message) => socket.send(JSON.stringify(message)) }
}
