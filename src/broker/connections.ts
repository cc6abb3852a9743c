import type { IncomingMessage, Server } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { addressKey, type ClientAddresses } from './client-address.ts'
import type { BrokerConfig } from './config/config.ts'
import { tooOften } from './rate-limits.ts'

/** Connections past a limit that are still told so; more are just closed. */
const TOLD = 16
/** When whoever is told may try again, in seconds: connections end, but none when it is wanted. */
const AGAIN_S = 5

/** The connections that are open at this node, by address: nobody takes all of them. */
export class Connections {
  readonly #limits: Pick<BrokerConfig['limits'], 'connections' | 'connectionsPerAddress'>
  readonly #addresses: ClientAddresses
  readonly #open = new Map<string, number>()
  readonly #tooMany = new WeakSet<Duplex>()
  #all = 0

  constructor(limits: BrokerConfig['limits'], addresses: ClientAddresses) {
    this.#limits = limits
    this.#addresses = addresses
  }

  /** Counts each connection of a server from its first packet on. */
  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const peer = socket.remoteAddress
      // It was gone before it was there.
      if (peer === undefined) {
        socket.destroy()
        return
      }
      this.#all += 1
      socket.once('close', () => {
        this.#all -= 1
      })
      // What a proxy connects with is its clients' in turn.
      if (!this.#addresses.isProxy(peer)) this.#count(addressKey(peer), socket)
      if (this.#isFull(peer, TOLD)) socket.destroy()
    })
    const spoken = server instanceof TlsServer ? 'secureConnection' : 'connection'
    server.on(spoken, (socket: Socket) => {
      if (this.#isFull(socket.remoteAddress ?? '', 0)) this.#tooMany.add(socket)
    })
  }

  /** @throws JitError `limit_reached` on a connection that is one too many: it is to be closed */
  check(socket: Duplex): void {
    if (this.#tooMany.has(socket)) throw tooOften('too many connections', AGAIN_S)
  }

  /** Counts a line, for a client behind a proxy has no other connection. @throws JitError `limit_reached` */
  line(request: IncomingMessage): void {
    if (!this.#addresses.isProxy(request.socket.remoteAddress)) return
    const key = addressKey(this.#addresses.of(request))
    if ((this.#open.get(key) ?? 0) >= this.#limits.connectionsPerAddress) {
      throw tooOften('too many connections from your address', AGAIN_S)
    }
    this.#count(key, request.socket)
  }

  #count(key: string, socket: Socket): void {
    if (socket.destroyed) return
    this.#open.set(key, (this.#open.get(key) ?? 0) + 1)
    socket.once('close', () => {
      const left = (this.#open.get(key) ?? 1) - 1
      if (left > 0) this.#open.set(key, left)
      else this.#open.delete(key)
    })
  }

  #isFull(peer: string, margin: number): boolean {
    const { connections, connectionsPerAddress } = this.#limits
    const here = this.#open.get(addressKey(peer)) ?? 0
    return this.#all > connections + margin || here > connectionsPerAddress + margin
  }
}
