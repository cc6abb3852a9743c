import * as v from 'valibot'
import { text } from '../protocol/values.ts'

/** `terraform apply *`: words, as a person would type the command. */
export const CommandPattern = v.pipe(
  text(256),
  v.check((pattern) => wordsOf(pattern).length > 0, 'expected words, such as "terraform apply *"'),
)

/**
 * Whether a pattern is about a command, word by word: `*` within a word stands for anything in that
 * word, as the last word for any further ones, none included. The command is compared as it was
 * typed: nothing is looked up or run.
 */
export function fitsCommand(pattern: string, argv: readonly string[]): boolean {
  const words = wordsOf(pattern)
  const open = words.at(-1) === '*'
  const fixed = open ? words.slice(0, -1) : words
  if (open ? argv.length < fixed.length : argv.length !== fixed.length) return false
  return fixed.every((word, at) => fitsWord(word, argv[at] ?? ''))
}

const wordsOf = (pattern: string) => pattern.split(/\s+/).filter((word) => word !== '')

/** From left to right, each piece at its first place: no pattern takes long, whatever it is. */
function fitsWord(pattern: string, word: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return word === pattern
  if (!word.startsWith(first)) return false
  let at = first.length
  for (const piece of rest) {
    const found = word.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  return word.length - last.length >= at && word.endsWith(last)
}
