import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { isOwn } from './peer.ts'

/** Milliseconds for connections to end by themselves. */
const CLOSE_WITHIN = 500

/** A listener on 127.0.0.1, at a port of the system's choice, for this user alone. */
export interface Listener {
  readonly port: number
  /** Stops listening; what is still connected is ended soon. */
  close(): Promise<void>
}

export async function listenOnLoopback(accept: (socket: Socket) => void): Promise<Listener> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true, keepAlive: true }, async (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    if (await isOwn(socket)) accept(socket)
    else socket.destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return {
    port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, CLOSE_WITHIN)
      await closed
      clearTimeout(timer)
    },
  }
}
