import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'

/**
 * Whether a connection on 127.0.0.1 is of this user or root, by the kernel's table (proc(5),
 * `/proc/net/tcp`). Where there is no such table, or no such line in it, the answer is yes: the name
 * or token that a client must know is what keeps others out.
 */
export async function isOwn({ remotePort, localPort }: Socket): Promise<boolean> {
  const uid = process.getuid?.()
  if (process.platform !== 'linux' || uid === undefined) return true
  const table = await readFile('/proc/self/net/tcp', 'latin1').catch(() => '')
  const ends = `${loopback(remotePort)} ${loopback(localPort)} `
  const line = table.split('\n').find((text) => text.includes(ends))
  const owner = line?.trim().split(/\s+/)[7]
  return owner === undefined || owner === '0' || owner === String(uid)
}

/** As the table writes it: the address as a number of this machine, the port in hex. */
function loopback(port = 0): string {
  return `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
}
