import type { Duplex } from 'node:stream'
import { closeWith } from './last-words.ts'
import { encodeFatal } from './postgres-wire.ts'

/** `ReadyForQuery`, without the state of the transaction, its last byte. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5])

/** A connection that is signed in: bytes, passed both ways as fast as the slower side takes them. */
export class PostgresSession {
  readonly #client: Duplex
  readonly #server: Duplex
  /** Whether the server's last bytes were `ReadyForQuery`, and the client has said nothing since. */
  #idle = true
  #ended = false

  constructor(client: Duplex, server: Duplex) {
    this.#client = client
    this.#server = server
    client.on('data', () => {
      this.#idle = false
    })
    server.on('data', (chunk: Buffer) => {
      this.#idle = chunk.subarray(-6, -1).equals(READY)
    })
    client.pipe(server)
    server.pipe(client)
    client.once('close', () => server.destroy())
    server.once('close', () => this.#serverClosed())
  }

  /** One that closes in order has its last bytes still on their way to the client. */
  #serverClosed(): void {
    if (this.#ended) return
    const client = this.#client
    const close = () => closeWith(Buffer.alloc(0), client)
    if (!client.writableEnded) client.destroy()
    else if (client.writableFinished) close()
    else client.once('finish', close)
  }

  /** Ends both sides at once. A client that waits for nothing is told why. */
  end(why: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#server.unpipe(this.#client)
    this.#server.destroy()
    if (this.#idle && this.#client.writableLength === 0) {
      this.#client.unpipe(this.#server)
      closeWith(encodeFatal('57P01', why), this.#client)
    } else {
      this.#client.destroy()
    }
  }
}
