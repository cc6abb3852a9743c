import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'

/** Resolves when a server listens on loopback, at a port that the system chose. */
export async function listening(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
