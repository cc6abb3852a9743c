/** Edits (insert, delete, replace, swap neighbours) from one word to the other. */
function distance(from: string, to: string): number {
  let before: number[] = []
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const cost = from[i - 1] === to[j - 1] ? 0 : 1
      let best = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + cost)
      const swapped = from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      if (i > 1 && j > 1 && swapped) best = Math.min(best, (before[j - 2] ?? 0) + 1)
      next.push(best)
    }
    before = row
    row = next
  }
  return row[to.length] ?? 0
}

/**
 * The word that was probably meant: at most a third of its letters away, else the only one that it begins, or the
 * longest that it begins with; none if nothing is close.
 */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word.length > 64) return undefined
  const candidates = [...known]
  let best: { readonly candidate: string; readonly edits: number } | undefined
  for (const candidate of candidates) {
    const edits = distance(word, candidate)
    const allowed = Math.max(1, Math.floor(candidate.length / 3))
    if (edits <= allowed && edits < (best?.edits ?? Infinity)) best = { candidate, edits }
  }
  return best?.candidate ?? shortened(word, candidates) ?? lengthened(word, candidates)
}

/** Two letters say too little of a word, and begin too many. */
const TELLING = 3

function shortened(word: string, known: readonly string[]): string | undefined {
  if (word.length < TELLING) return undefined
  const [first, ...others] = known.filter((candidate) => candidate.startsWith(word))
  return others.length === 0 ? first : undefined
}

function lengthened(word: string, known: readonly string[]): string | undefined {
  return known
    .filter((candidate) => candidate.length >= TELLING && word.startsWith(candidate))
    .sort((one, other) => other.length - one.length)[0]
}
