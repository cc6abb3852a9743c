import type { Duplex } from 'node:stream'

/** Milliseconds for the last words to arrive. */
const ARRIVE_WITHIN = 500

/** Closes a connection after these bytes; whatever else comes on it is thrown away. */
export function closeWith(lastWords: Buffer, client: Duplex): void {
  if (client.destroyed) return
  if (!client.writableEnded) client.end(lastWords)
  // Unread bytes would keep its end from being seen, or reset it before the words are read.
  client.resume()
  const timer = setTimeout(() => client.destroy(), ARRIVE_WITHIN)
  client.once('close', () => clearTimeout(timer))
}
