// Control characters (C0, DEL, C1), line and paragraph separators, what Unicode calls format
// characters (bidirectional overrides, zero-width joiners, tags, the soft hyphen), and the rest that
// is shown as nothing: fillers, variation selectors, the empty braille pattern.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Default_Ignorable_Code_Point}\u2800]/gu

/**
 * Text from elsewhere, safe to show: characters that a terminal obeys or that can't be seen
 * are written out as `\u{…}`.
 */
export function escapeForDisplay(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}
