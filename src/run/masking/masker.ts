import { type Form, formsOf } from './forms.ts'
import { Search } from './search.ts'
import { Tail } from './tail.ts'

/** What stands in a secret's place. */
const MASK = Buffer.from('[masked]')

/**
 * How many bytes that may begin a secret are shown when nothing follows them for a while: a prompt
 * that happens to end like that appears, and a secret that stops there has given away no more.
 */
const SHOWN_AT_PAUSE = 4

/**
 * Replaces secrets in a stream of bytes, in each of their forms, wherever the stream is cut. What can't
 * be the beginning of one is given back at once, the rest with what follows it: never more than
 * the longest form takes. The same bytes come out however they were cut, pauses aside.
 */
export class Masker {
  readonly #search: Search
  readonly #tail: Tail
  readonly #shownAtPause: number
  #held: Buffer = Buffer.alloc(0)
  /** Of the bytes held, those that are out already: shown at a pause, or behind a mask. */
  #done = 0
  /** Of these, those behind a mask. */
  #covered = 0

  /** @param forms at least one */
  private constructor(forms: readonly Form[]) {
    this.#search = new Search(forms)
    this.#tail = new Tail(forms)
    const shortest = Math.min(...forms.map(({ bytes }) => bytes.length))
    this.#shownAtPause = Math.min(SHOWN_AT_PAUSE, shortest >> 3)
  }

  /** Nothing where there is nothing to mask. */
  static for(secrets: readonly string[]): Masker | undefined {
    const forms = formsOf(secrets)
    return forms.length > 0 ? new Masker(forms) : undefined
  }

  /** Whether {@link pause} would give something back. */
  get holds(): boolean {
    const { length } = this.#held
    return this.#done < length && length <= this.#shownAtPause
  }

  /** @returns what may be passed on: parts of `chunk` itself where nothing of it was masked */
  push(chunk: Buffer): Buffer[] {
    if (chunk.length === 0) return []
    const text = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    return this.#take(text, this.#tail.undecidedIn(text))
  }

  /** What is given back when nothing has followed for a while. */
  pause(): Buffer[] {
    if (!this.holds) return []
    const shown = this.#held.subarray(this.#done)
    this.#done = this.#held.length
    return [shown]
  }

  /** The rest, when nothing will follow. */
  end(): Buffer[] {
    return this.#take(this.#held, this.#held.length)
  }

  /** Gives `text` back up to `until`, and holds the rest. */
  #take(text: Buffer, until: number): Buffer[] {
    const out: Buffer[] = []
    let done = this.#done
    let covered = this.#covered
    for (const { start, end } of this.#search.find(text)) {
      if (start >= until) break
      if (start >= covered) {
        if (start > done) out.push(text.subarray(done, start))
        out.push(MASK)
      }
      covered = Math.max(covered, end)
      done = Math.max(done, covered)
    }
    if (until > done) out.push(text.subarray(done, until))
    // A copy: a few bytes are not to keep a whole chunk in memory.
    this.#held = Buffer.from(text.subarray(until))
    this.#done = Math.max(0, done - until)
    this.#covered = Math.max(0, covered - until)
    return out
  }
}
