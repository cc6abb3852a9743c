/**
 * Takes `end` off the end, as often as it is there. What a regular expression such as `/\/+$/` takes
 * for that grows with the square of how often it is elsewhere.
 */
export function withoutTrailing(text: string, end: string): string {
  let length = text.length
  while (text.endsWith(end, length)) length -= end.length
  return text.slice(0, length)
}
