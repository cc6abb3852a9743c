// Control characters (C0, DEL, C1), line and paragraph separators, and what Unicode calls format
// characters: bidirectional overrides, zero-width joiners, tags, the soft hyphen.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/gu

/**
 * Text from elsewhere, safe to show: characters that a terminal obeys or that can't be seen
 * are written out as `\u{…}`.
 */
export function escapeForDisplay(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}
