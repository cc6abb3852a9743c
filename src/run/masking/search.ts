import { BLOCK, HASHES, hashAt } from './block.ts'
import { endOf, SHORTEST_LINE, startOf } from './form-text.ts'
import type { Form } from './forms.ts'

/** Where a form stands: from its first byte to the one after its last. */
export interface Occurrence {
  readonly start: number
  readonly end: number
}

/** A part of a form that is looked for, and then the whole around it. */
interface Anchor {
  readonly form: Form
  readonly offset: number
}

/** Of the part that is looked for: shifts fit into a byte. */
const LONGEST_ANCHOR = 255

/** Where lines may end: of two such anchors, one after the other, one at least is on one line. */
const BREAKABLE_ANCHOR = SHORTEST_LINE / 2

/**
 * Finds many forms at once, with most bytes never looked at: a window as long as the shortest anchor
 * moves on by as much as its last block allows (S. Wu, U. Manber: A fast algorithm for multi-pattern
 * searching, 1994).
 */
export class Search {
  readonly #window: number
  readonly #shifts = new Uint8Array(HASHES)
  /** The anchors that end in a block, by its hash. */
  readonly #ending = new Map<number, Anchor[]>()

  /** @param forms at least one */
  constructor(forms: readonly Form[]) {
    const anchors = forms.map(({ bytes, breakable }) =>
      breakable ? Math.min(BREAKABLE_ANCHOR, bytes.length >> 1) : bytes.length,
    )
    this.#window = Math.min(...anchors, LONGEST_ANCHOR)
    this.#shifts.fill(this.#window - BLOCK + 1)
    forms.forEach((form, at) => {
      this.#add({ form, offset: 0 })
      // Where a line ends within the first, the second is whole.
      if (form.breakable) this.#add({ form, offset: anchors[at] ?? 0 })
    })
  }

  /** All occurrences, overlapping ones too, by their start. */
  find(text: Uint8Array): Occurrence[] {
    const found: Occurrence[] = []
    const shifts = this.#shifts
    const length = text.length
    let last = this.#window - 1
    while (last < length) {
      const hash = hashAt(text, last)
      const shift = shifts[hash] as number
      if (shift === 0) {
        this.#look(text, last, found)
        last += 1
      } else {
        last += shift
      }
    }
    return found.length > 1 ? found.sort((a, b) => a.start - b.start) : found
  }

  #add(anchor: Anchor): void {
    const { bytes } = anchor.form
    const end = anchor.offset + this.#window - 1
    for (let last = anchor.offset + BLOCK - 1; last <= end; last += 1) {
      const hash = hashAt(bytes, last)
      this.#shifts[hash] = Math.min(this.#shifts[hash] as number, end - last)
    }
    const hash = hashAt(bytes, end)
    this.#ending.set(hash, [...(this.#ending.get(hash) ?? []), anchor])
  }

  /** For what ends with the window whose last byte is `last`. */
  #look(text: Uint8Array, last: number, found: Occurrence[]): void {
    const begin = last - this.#window + 1
    for (const anchor of this.#ending.get(hashAt(text, last)) ?? []) {
      // The first byte rules out most that only hash alike.
      if (text[begin] !== anchor.form.bytes[anchor.offset]) continue
      const start = startOf(text, begin, anchor)
      if (start < 0) continue
      const end = endOf(text, start, anchor.form)
      if (end > 0) found.push({ start, end })
    }
  }
}
