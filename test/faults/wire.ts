import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { listening, portOf } from './port.ts'

/** A connection through the wire: one socket to each side. */
interface Pair {
  readonly near: Socket
  readonly far: Socket
}

/**
 * The network between clients and brokers: a TCP relay over one or several nodes that can be cut,
 * slowed down, half closed and reset. A node that refuses is passed over, as by a load balancer.
 */
export class Wire implements AsyncDisposable {
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  /** Accepted, but not carried on while the wire is cut. */
  readonly #waiting = new Set<Socket>()
  #nodes: readonly number[] = []
  #next = 0
  #cut = false
  #refusing = false
  #delay = 0
  /** Connections carried to each node's port so far. */
  readonly carried = new Map<number, number>()

  private constructor() {
    // Each side is closed when the other is: a half-closed connection is a fault of its own.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) =>
      this.#accept(near),
    )
  }

  static async start(): Promise<Wire> {
    const wire = new Wire()
    await listening(wire.#server)
    return wire
  }

  get port(): number {
    return portOf(this.#server)
  }

  /** How many connections are open. */
  get open(): number {
    return this.#pairs.size
  }

  /** @param ports of the nodes that connections are spread over from now on */
  to(ports: readonly number[]): void {
    this.#nodes = ports
  }

  /** Nothing passes any more, and nobody is told: what was sent waits, as for retransmission. */
  cut(): void {
    this.#cut = true
    for (const { near, far } of this.#pairs) {
      near.pause()
      far.pause()
    }
  }

  /** Each piece takes so many milliseconds longer, either way. */
  slow(milliseconds: number): void {
    this.#delay = milliseconds
  }

  /** Brokers and clients each see the other side's end, and may still write. */
  halfClose(): void {
    for (const { near, far } of this.#pairs) {
      near.removeAllListeners('data').pause()
      far.removeAllListeners('data').pause()
      near.end()
      far.end()
    }
  }

  /** Ends what is open by RST, and refuses what comes until {@link restore}. */
  reset(): void {
    this.#refusing = true
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy()
      far.resetAndDestroy()
    }
  }

  /** Ends by RST what is open, and takes what comes. */
  blip(): void {
    this.reset()
    this.#refusing = false
  }

  /** As if nothing had been: what waited goes on. */
  restore(): void {
    this.#cut = false
    this.#refusing = false
    this.#delay = 0
    for (const { near, far } of this.#pairs) {
      near.resume()
      far.resume()
    }
    for (const near of this.#waiting) void this.#carry(near)
    this.#waiting.clear()
  }

  #accept(near: Socket): void {
    near.on('error', () => {})
    if (this.#refusing) {
      near.resetAndDestroy()
    } else if (this.#cut) {
      this.#waiting.add(near)
      near.once('close', () => this.#waiting.delete(near))
    } else {
      void this.#carry(near)
    }
  }

  async #carry(near: Socket): Promise<void> {
    const far = await this.#reach()
    if (!far || near.destroyed) {
      near.resetAndDestroy()
      far?.destroy()
      return
    }
    const pair = { near, far }
    this.#pairs.add(pair)
    const over = () => {
      near.destroy()
      far.destroy()
      this.#pairs.delete(pair)
    }
    near.once('close', over)
    far.once('close', over)
    this.#pass(near, far)
    this.#pass(far, near)
    if (this.#cut) this.cut()
  }

  #pass(from: Socket, to: Socket): void {
    // In order, however the delay changes.
    let last: Promise<unknown> = Promise.resolve()
    const after = (work: () => void) => {
      const due = this.#delay > 0 ? wait(this.#delay) : undefined
      last = due ? Promise.all([last, due]).then(work) : last.then(work)
    }
    from.on('data', (chunk: Buffer) => after(() => void to.write(chunk)))
    from.on('end', () => after(() => void to.end()))
  }

  /** A connection to the next node that takes one. */
  async #reach(): Promise<Socket | undefined> {
    const nodes = this.#nodes
    for (let tried = 0; tried < nodes.length; tried += 1) {
      const port = nodes[this.#next++ % nodes.length] ?? 0
      const far = await connected(port)
      if (!far) continue
      this.carried.set(port, (this.carried.get(port) ?? 0) + 1)
      return far
    }
    return undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { near, far } of this.#pairs) {
      near.destroy()
      far.destroy()
    }
    for (const near of this.#waiting) near.destroy()
    this.#server.close()
  }
}

function connected(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    socket.once('connect', () => resolve(socket))
    socket.on('error', () => resolve(undefined))
  })
}
