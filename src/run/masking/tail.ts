import { BLOCK, HASHES, hashAt } from './block.ts'
import { endOf, NEWLINE, RETURN, SHORTEST_LINE, UNDECIDED } from './form-text.ts'
import type { Form } from './forms.ts'

/** Finds the end of a text that may be the beginning of a form. */
export class Tail {
  readonly #byFirst: Form[][] = Array.from({ length: 256 }, () => [])
  /** 1 for the hash of each block that a form may begin with. */
  readonly #beginnings = new Uint8Array(HASHES)
  readonly #longest: number

  constructor(forms: readonly Form[]) {
    for (const form of forms) {
      this.#byFirst[form.bytes[0] ?? 0]?.push(form)
      for (const block of beginningsOf(form)) {
        this.#beginnings[hashAt(Uint8Array.from(block), BLOCK - 1)] = 1
      }
    }
    this.#longest = Math.max(...forms.map(longestOf))
  }

  /** Where in `text` the first form may begin that isn't complete in it; its length where none does. */
  undecidedIn(text: Uint8Array): number {
    const { length } = text
    const beginnings = this.#beginnings
    let at = Math.max(0, length - this.#longest)
    for (; at <= length - BLOCK; at += 1) {
      if (beginnings[hashAt(text, at + BLOCK - 1)] === 1 && this.#mayBegin(text, at)) return at
    }
    while (at < length && !this.#mayBegin(text, at)) at += 1
    return at
  }

  #mayBegin(text: Uint8Array, at: number): boolean {
    for (const form of this.#byFirst[text[at] as number] ?? []) {
      if (endOf(text, at, form) === UNDECIDED) return true
    }
    return false
  }
}

function beginningsOf({ bytes, breakable }: Form): number[][] {
  const [first = 0, second = 0, third = 0] = bytes
  const whole = [first, second, third]
  if (!breakable) return [whole]
  const broken = [
    [first, NEWLINE, second],
    [first, RETURN, NEWLINE],
    [first, second, NEWLINE],
    [first, second, RETURN],
  ]
  return [whole, ...broken]
}

/** Bytes, with all the ends of lines that there may be in it. */
function longestOf({ bytes, breakable }: Form): number {
  const breaks = breakable ? 1 + Math.ceil(bytes.length / SHORTEST_LINE) : 0
  return bytes.length + 2 * breaks
}
