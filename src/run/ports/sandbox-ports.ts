import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { isLoopback } from '../../lib/address.ts'
import { createAuthority } from './authority.ts'
import type { HttpPort } from './http-port.ts'
import { exceptionVariables } from './port-variables.ts'
import { openPorts, type Ports, type Way } from './ports.ts'

interface Options {
  /** Of the link, inside: PostgreSQL is spoken there as well. */
  readonly linkPort: number
  /** Path of the HTTP port's Unix socket, where the sandbox can't go. */
  readonly socket: string
  /** For the certificates that commands inside trust: readable there. */
  readonly folder: string
  /** Which hosts the sandbox's own proxy is to hand to which Unix socket, from now on. */
  readonly route: (sockets: ReadonlyMap<string, string>) => void
}

/** Ports for what runs in a sandbox, whose own proxy and link lead to them: nothing listens for others. */
export function sandboxPorts(options: Options): Ports {
  return openPorts(new SandboxWay(options), () => createAuthority(options.folder))
}

class SandboxWay implements Way {
  /** Only the supervisor's own proxy gets to the socket. */
  readonly password = undefined
  readonly #options: Options
  #server: Promise<Server> | undefined

  constructor(options: Options) {
    this.#options = options
  }

  async postgres(): Promise<{ host: string; port: number }> {
    return { host: '127.0.0.1', port: this.#options.linkPort }
  }

  async http(to: HttpPort, url: URL): Promise<Record<string, string>> {
    this.#server ??= this.#listen(to)
    await this.#server
    if (!isLoopback(url)) return {}
    // Programs inside talk to loopback addresses without the proxy: these, the link apart, with it.
    return {
      ...exceptionVariables([`127.0.0.1:${this.#options.linkPort}`]),
      NODE_USE_ENV_PROXY: '1',
    }
  }

  changed(urls: readonly URL[]): void {
    this.#options.route(new Map(urls.map(({ hostname }) => [hostname, this.#options.socket])))
  }

  async close(): Promise<void> {
    const server = await this.#server
    if (!server) return
    const closed = once(server, 'close')
    server.close()
    await closed
  }

  async #listen(to: HttpPort): Promise<Server> {
    const server = createServer((socket) => to.accept(socket))
    server.listen(this.#options.socket)
    await once(server, 'listening')
    return server
  }
}
