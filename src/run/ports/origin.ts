import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'

const PREFIX = 'jit_placeholder_'

interface Held {
  readonly placeholder: string
  readonly token: string
}

/** An API, by its scheme, host and port, and the tokens that are for it alone. */
export class Origin {
  readonly url: URL
  readonly port: number
  readonly #held = new Map<string, Held>()
  /** Connections of clients, with the leases that they used. */
  readonly #connections = new Map<Duplex, Set<string>>()

  constructor(url: URL) {
    this.url = url
    this.port = portOf(url)
  }

  get key(): string {
    return originKey(this.url.hostname, this.port)
  }

  get tokens(): readonly Held[] {
    return [...this.#held.values()]
  }

  /** @returns what stands for the token; of its length, so that no length in a request changes */
  hold(lease: string, token: string): string {
    const random = randomBytes(Math.max(32, token.length)).toString('hex')
    const placeholder = (PREFIX + random).slice(0, Math.max(PREFIX.length + 32, token.length))
    this.#held.set(lease, { placeholder, token })
    return placeholder
  }

  /** @returns whether it was held here */
  forget(lease: string): boolean {
    const held = this.#held.delete(lease)
    for (const [connection, leases] of this.#connections) {
      if (this.#held.size === 0 || leases.has(lease)) connection.destroy()
    }
    return held
  }

  connected(connection: Duplex): void {
    if (this.#connections.has(connection)) return
    this.#connections.set(connection, new Set())
    connection.once('close', () => this.#connections.delete(connection))
  }

  /** The headers with the tokens in the place of what stands for them. */
  reveal(headers: IncomingHttpHeaders, connection: Duplex): IncomingHttpHeaders {
    return this.#mapped(headers, (value) => {
      let revealed = value
      for (const [lease, { placeholder, token }] of this.#held) {
        if (!revealed.includes(placeholder)) continue
        this.#connections.get(connection)?.add(lease)
        revealed = revealed.replaceAll(placeholder, () => token)
      }
      return revealed
    })
  }

  /** The other way round: what an API says of the token it was sent. */
  conceal(headers: IncomingHttpHeaders): IncomingHttpHeaders {
    return this.#mapped(headers, (value) =>
      this.tokens.reduce(
        (text, { placeholder, token }) => text.replaceAll(token, () => placeholder),
        value,
      ),
    )
  }

  /** A body may use any of them. */
  usesAll(connection: Duplex): void {
    for (const lease of this.#held.keys()) this.#connections.get(connection)?.add(lease)
  }

  #mapped(headers: IncomingHttpHeaders, change: (value: string) => string): IncomingHttpHeaders {
    const changed = Object.entries(headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map(change) : value === undefined ? value : change(value),
    ])
    return Object.fromEntries(changed)
  }
}

export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}

export function originKey(host: string, port: number): string {
  return `${host.toLowerCase()}:${port}`
}
