import { Writable } from 'node:stream'

/** Bytes of a stream that are kept from its beginning, and as many from its end. */
const HALF = 50_000

/** What a command wrote: its beginning and its end, however much lies between. */
export class BoundedText extends Writable {
  readonly #head: Buffer[] = []
  #headSize = 0
  #tail: Buffer[] = []
  #tailSize = 0
  #total = 0

  /** Bytes in all. */
  get total(): number {
    return this.#total
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#total += chunk.length
    const head = chunk.subarray(0, HALF - this.#headSize)
    if (head.length > 0) this.#head.push(head)
    this.#headSize += head.length
    this.#addToTail(chunk.subarray(head.length))
    done()
  }

  #addToTail(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#tail.push(chunk)
    this.#tailSize += chunk.length
    // Many small writes would keep as many small buffers.
    if (this.#tailSize > 4 * HALF || this.#tail.length > 1000) this.#trim()
  }

  #trim(): void {
    const end = Buffer.concat(this.#tail)
    const kept = Buffer.from(end.subarray(Math.max(0, end.length - HALF)))
    this.#tail = [kept]
    this.#tailSize = kept.length
  }

  /** As text, with what was left out said in its place; bytes that aren't UTF-8 are replaced. */
  kept(): { text: string; omitted: number } {
    this.#trim()
    const head = Buffer.concat(this.#head)
    const tail = Buffer.concat(this.#tail)
    const omitted = this.#total - head.length - tail.length
    if (omitted === 0) return { text: Buffer.concat([head, tail]).toString(), omitted }
    const gap = `\n[jit: ${omitted} bytes left out here]\n`
    return { text: `${head.toString()}${gap}${tail.toString()}`, omitted }
  }
}
