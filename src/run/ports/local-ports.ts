import { randomBytes } from 'node:crypto'
import { isLoopback } from '../../lib/address.ts'
import { createAuthority } from './authority.ts'
import type { HttpPort } from './http-port.ts'
import { type Listener, listenOnLoopback } from './loopback.ts'
import { exceptionVariables, proxyVariables } from './port-variables.ts'
import { openPorts, type Ports, type Way } from './ports.ts'
import type { PostgresPort } from './postgres-port.ts'

const HOST = '127.0.0.1'
/** Programs talk to these without a proxy, unless one is the API. */
const LOCAL = ['localhost', HOST, '::1']

/**
 * Ports for a command that runs without a sandbox: each listens on a loopback port of its own, from
 * when it is first needed. What a client must know to use one (a user name, a password of the proxy)
 * is random and in the command's environment alone.
 * @param folder where the certificates that the command trusts are left
 */
export function localPorts({ folder }: { folder: string }): Ports {
  return openPorts(new LoopbackWay(), () => createAuthority(folder))
}

class LoopbackWay implements Way {
  readonly password = randomBytes(24).toString('base64url')
  #postgres: Promise<Listener> | undefined
  #http: Promise<Listener> | undefined

  async postgres(to: PostgresPort): Promise<{ host: string; port: number }> {
    this.#postgres ??= listenOnLoopback((socket) => to.accept(socket, Buffer.alloc(0)))
    const { port } = await this.#postgres
    return { host: HOST, port }
  }

  async http(to: HttpPort, url: URL): Promise<Record<string, string>> {
    this.#http ??= listenOnLoopback((socket) => to.accept(socket))
    const { port } = await this.#http
    const direct = to.urls.some(isLoopback) ? [] : LOCAL
    return {
      ...proxyVariables(url.protocol, `http://${to.login}@${HOST}:${port}`),
      ...exceptionVariables(direct),
    }
  }

  changed(): void {}

  async close(): Promise<void> {
    const listeners = await Promise.all([this.#postgres, this.#http])
    await Promise.all(listeners.map((listener) => listener?.close()))
  }
}
