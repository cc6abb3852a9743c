import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { Refusal } from './refusal.ts'

/**
 * Exactly that many bytes of a stream that nothing else reads yet; what follows stays in it.
 * @throws Refusal `08006` when it ends before, the signal's reason, the stream's own error
 */
export async function readExactly(
  stream: Duplex,
  bytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const parts: Buffer[] = []
  let missing = bytes
  while (missing > 0) {
    signal.throwIfAborted()
    // All that is there: left in it, it would be said to be readable again and again, and nothing else be done.
    const chunk: Buffer | null = stream.destroyed ? null : stream.read()
    if (chunk) {
      parts.push(chunk.subarray(0, missing))
      if (chunk.length > missing) stream.unshift(chunk.subarray(missing))
      missing -= Math.min(missing, chunk.length)
    } else if (stream.readableEnded || stream.destroyed) throw new Refusal('08006', 'closed')
    else await readable(stream, signal)
  }
  return Buffer.concat(parts)
}

async function readable(stream: Duplex, signal: AbortSignal): Promise<void> {
  const settled = new AbortController()
  const either = { signal: AbortSignal.any([signal, settled.signal]) }
  try {
    await Promise.race(['readable', 'end', 'close'].map((event) => once(stream, event, either)))
  } catch (thrown) {
    signal.throwIfAborted()
    throw thrown
  } finally {
    settled.abort()
  }
}
