import { Transform } from 'node:stream'

/**
 * Replaces one string of bytes by another, wherever the chunks are cut. Only what could be the
 * beginning of it waits for the next chunk, so that answers that come bit by bit aren't held up.
 */
export function replacing(secret: Buffer, by: Buffer): Transform {
  let held = Buffer.alloc(0)
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const bytes = held.length > 0 ? Buffer.concat([held, chunk]) : chunk
      const parts: Buffer[] = []
      let from = 0
      for (let at = bytes.indexOf(secret); at !== -1; at = bytes.indexOf(secret, from)) {
        parts.push(bytes.subarray(from, at), by)
        from = at + secret.length
      }
      const cut = bytes.length - beginningAtEnd(bytes.subarray(from), secret)
      parts.push(bytes.subarray(from, cut))
      held = Buffer.from(bytes.subarray(cut))
      done(null, Buffer.concat(parts))
    },
    flush(done) {
      done(null, held)
    },
  })
}

/** How many of the last bytes are the first ones of `secret`, but not all. */
function beginningAtEnd(bytes: Buffer, secret: Buffer): number {
  const first = secret[0] ?? 0
  let at = bytes.indexOf(first, Math.max(0, bytes.length - secret.length + 1))
  while (at !== -1) {
    const rest = bytes.subarray(at)
    if (rest.equals(secret.subarray(0, rest.length))) return rest.length
    at = bytes.indexOf(first, at + 1)
  }
  return 0
}
