/** What secrets look like, wherever they stand: errors of drivers and libraries quote what they were given. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  // Before the first `/`, so that a password with an @ in it goes whole.
  [/\b([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/?#]*@/gi, '$1[redacted]@'],
  [/\beyJ[\w-]{8,}\.[\w-]*\.?[\w-]*/g, '[redacted]'],
  [/\b(basic|bearer|dpop)\s+[\w~+/.=-]{8,}/gi, '$1 [redacted]'],
  [/\b(password|passwd|pwd|secret|token)(["']?\s*[=:]\s*["']?)[^\s"',;&]+/gi, '$1$2[redacted]'],
]

/** `text` without what looks like a secret. */
export function scrub(text: string): string {
  return SECRETS.reduce((left, [pattern, instead]) => left.replace(pattern, instead), text)
}
