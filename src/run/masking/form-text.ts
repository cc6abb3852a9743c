import type { Form } from './forms.ts'

/** The shortest line that anybody breaks a form into, in bytes: `xxd -p` has 60, `openssl` 64, `base64` 76. */
export const SHORTEST_LINE = 60

export const NEWLINE = 0x0a
export const RETURN = 0x0d

/** A form that doesn't begin there, and one whose text ends too soon to tell. */
const ABSENT = -1
export const UNDECIDED = -2

/** The end of a form that begins at `start`; {@link UNDECIDED}, or another negative number where it isn't there. */
export function endOf(text: Uint8Array, start: number, { bytes, breakable }: Form): number {
  if (breakable) return endOverBreaks(text, start, bytes)
  const length = Math.min(bytes.length, text.length - start)
  for (let at = 0; at < length; at += 1) {
    if (text[start + at] !== bytes[at]) return ABSENT
  }
  return length < bytes.length ? UNDECIDED : start + length
}

function endOverBreaks(text: Uint8Array, start: number, bytes: Uint8Array): number {
  let position = start
  let earliestBreak = 1
  for (let at = 0; at < bytes.length; at += 1) {
    if (at >= earliestBreak) {
      const after = afterBreak(text, position)
      if (after > position) earliestBreak = at + SHORTEST_LINE
      position = after
    }
    if (position >= text.length) return UNDECIDED
    if (text[position] !== bytes[at]) return ABSENT
    position += 1
  }
  return position
}

/** After the end of a line, where there is one. */
function afterBreak(text: Uint8Array, position: number): number {
  if (text[position] === NEWLINE) return position + 1
  if (text[position] !== RETURN) return position
  if (position + 1 === text.length) return position + 1
  return text[position + 1] === NEWLINE ? position + 2 : position
}

/** Where a form would begin of which byte `offset` stands at `at`; negative where what is before isn't it. */
export function startOf(
  text: Uint8Array,
  at: number,
  { form: { bytes }, offset }: { form: Form; offset: number },
): number {
  let position = at
  for (let left = offset - 1; left >= 0; left -= 1) {
    position -= 1
    if (text[position] === NEWLINE) {
      position -= 1
      if (text[position] === RETURN) position -= 1
    }
    if (position < 0 || text[position] !== bytes[left]) return ABSENT
  }
  return position
}
