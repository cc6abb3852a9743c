const PLAIN = /^[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*$/
/** Everything else than ASCII's visible characters, the space, and what is seen as itself in any script. */
const UNSEEN = /[^\x20-\x7e\p{L}\p{N}\p{P}\p{S}]|[\p{DI}\u2800]/gu

/**
 * An argument vector as a POSIX shell or bash would read it: every word's bounds can be seen, and two
 * different vectors are never written the same. What can't be seen is written as bash's `$'…'` has it.
 */
export function shellWords(argv: readonly string[]): string {
  return argv.map((word, index) => quoted(word, { first: index === 0 })).join(' ')
}

function quoted(word: string, { first }: { first: boolean }): string {
  if (PLAIN.test(word) && !(first && word.includes('='))) return word
  if (word.search(UNSEEN) < 0) return `'${word.replaceAll("'", `'\\''`)}'`
  const escaped = word.replace(/[\\']/g, '\\$&').replace(UNSEEN, codeOf)
  return `$'${escaped}'`
}

function codeOf(character: string): string {
  const code = character.codePointAt(0) ?? 0
  const hex = code.toString(16)
  return code > 0xffff ? `\\U${hex.padStart(8, '0')}` : `\\u${hex.padStart(4, '0')}`
}
