import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'

/**
 * Whether a connection on 127.0.0.1 is of this user or root, by the kernel's table (proc(5),
 * `/proc/net/tcp`). Where there is no such table, or no such line in it, the answer is yes: the name
 * or token that a client must know is what keeps others out.
 */
export async function isOwn({ remotePort, localPort }: Socket): Promise<boolean> {
  const uid = process.getuid?.()
  if (process.platform !== 'linux' || uid === undefined) return true
  const table = await readTable()
  const ends = `${loopback(remotePort)} ${loopback(localPort)} `
  const at = table.indexOf(ends)
  // State, queues, timer, retransmissions, then the uid.
  const owner = at === -1 ? undefined : table.slice(at + ends.length, at + 200).split(/\s+/)[4]
  return owner === undefined || owner === '0' || owner === String(uid)
}

let reading: Promise<string> | undefined

/** The kernel takes milliseconds to write it: those that connect at once share one. */
function readTable(): Promise<string> {
  reading ??= setImmediate().then(() => {
    reading = undefined
    return readFile('/proc/self/net/tcp', 'latin1').catch(() => '')
  })
  return reading
}

/** As the table writes it: the address as a number of this machine, the port in hex. */
function loopback(port = 0): string {
  return `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
}
