import type { Server as HttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'

/** What was refused: a host and port that the sandbox may not reach. */
export interface Refused {
  readonly host: string
  readonly port: number
}

/** The way out of a sandbox: an HTTP proxy on a Unix socket that lets the allowed domains through. */
export interface DomainProxy {
  onRefused(listener: (refused: Refused) => void): void
  route(hosts: ReadonlyMap<string, string>): void
  close(): Promise<void>
}

/** How many different refusals are told: a sandbox can try any number of names. */
const MAX_REFUSED = 256

/**
 * Listens on `socket`. The proxy itself is loaded with the first connection, so that a command which
 * makes none starts without it.
 * @param token what a client has to show as the password of `Proxy-Authorization`
 */
export async function openDomainProxy({
  socket,
  token,
  domains,
  broker,
}: {
  socket: string
  token: string
  domains: readonly string[] | Promise<readonly string[]>
  broker: string
}): Promise<DomainProxy> {
  const refusals = new Refusals()
  let routes: ReadonlyMap<string, string> = new Map()
  let loaded: Promise<HttpServer> | undefined
  const load = async () => {
    const { domainServer } = await import('./domain-server.ts')
    return domainServer({
      token,
      domains: await domains,
      broker,
      routes: () => routes,
      refuse: (refused) => refusals.add(refused),
    })
  }
  const sockets = new Set<Socket>()
  const server = createServer({ pauseOnConnect: true }, (connection) => {
    sockets.add(connection)
    connection.once('close', () => sockets.delete(connection))
    connection.on('error', () => {})
    loaded ??= load()
    loaded.then(
      (proxy) => {
        proxy.emit('connection', connection)
        connection.resume()
      },
      () => connection.destroy(),
    )
  })
  await listen(server, socket)
  return {
    onRefused: (listener) => refusals.listen(listener),
    route(hosts) {
      routes = hosts
    },
    async close() {
      for (const connection of sockets) connection.destroy()
      if (server.listening) await new Promise((closed) => server.close(closed))
    },
  }
}

function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(path, resolve)
  return promise
}

/** Each host and port that was refused, told once, also to a listener that comes late. */
class Refusals {
  readonly #seen = new Map<string, Refused>()
  readonly #listeners: ((refused: Refused) => void)[] = []

  add(refused: Refused): void {
    const key = `${refused.host}:${refused.port}`
    if (this.#seen.has(key) || this.#seen.size >= MAX_REFUSED) return
    this.#seen.set(key, refused)
    for (const listener of this.#listeners) listener(refused)
  }

  listen(listener: (refused: Refused) => void): void {
    this.#listeners.push(listener)
    for (const refused of this.#seen.values()) listener(refused)
  }
}
