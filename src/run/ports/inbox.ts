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
  if (bytes === 0) return Buffer.alloc(0)
  for (;;) {
    signal.throwIfAborted()
    const chunk: Buffer | null = stream.destroyed ? null : stream.read(bytes)
    if (chunk?.length === bytes) return chunk
    if (chunk || stream.readableEnded || stream.destroyed) throw new Refusal('08006', 'closed')
    await readable(stream, signal)
  }
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
