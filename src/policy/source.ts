/** One policy as it stands in its file. */
export interface PolicySource {
  readonly file: string
  /** From the end of the policy before it to its own `;`, comments included. */
  readonly text: string
  /** Line of the file that `text` begins on, from 1. */
  readonly firstLine: number
}

// Cedar's tokens that may hold a `;` which ends nothing: comments and strings (escapes included). A
// string without an end is one to the end: looking for others in it would take the square of its length.
const TOKEN = /\/\/[^\n]*|"(?:\\[\s\S]?|[^"\\])*(?:"|$)|;/g
const BLANK = /^(?:\s|\/\/[^\n]*(?:\n|$))*/

/** The policies of a file, in order; a rest without a `;` is one too, for the parser to complain about. */
export function splitPolicies(file: string, content: string): PolicySource[] {
  const policies: PolicySource[] = []
  let start = 0
  let line = 1
  const cut = (end: number) => {
    const text = content.slice(start, end)
    if (BLANK.exec(text)?.[0].length !== text.length) policies.push({ file, text, firstLine: line })
    line += lineBreaks(text)
    start = end
  }
  for (const { 0: token, index } of content.matchAll(TOKEN)) {
    if (token === ';') cut(index + 1)
  }
  cut(content.length)
  return policies
}

/** `file:line` of a policy's first token, or of a byte offset into its text (Cedar counts in UTF-8). */
export function locate(source: PolicySource, byteOffset?: number): string {
  const before =
    byteOffset === undefined
      ? (BLANK.exec(source.text)?.[0] ?? '')
      : Buffer.from(source.text).subarray(0, byteOffset).toString()
  return `${source.file}:${source.firstLine + lineBreaks(before)}`
}

/** `file:line` of the first string `literal` in a policy; of the policy where it is written otherwise. */
export function locateLiteral(source: PolicySource, literal: string): string {
  for (const { 0: token, index } of source.text.matchAll(TOKEN)) {
    if (token === `"${literal}"`) {
      return `${source.file}:${source.firstLine + lineBreaks(source.text.slice(0, index))}`
    }
  }
  return locate(source)
}

function lineBreaks(text: string): number {
  return text.split('\n').length - 1
}
