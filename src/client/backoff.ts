/** Milliseconds: between attempts to connect again, at first and at most. */
const BACKOFF = { first: 100, most: 2000 }

/** Milliseconds before the next attempt, with jitter so that many clients don't come at once. */
export function backoff(attempt: number): number {
  const longest = Math.min(BACKOFF.most, BACKOFF.first * 2 ** Math.min(attempt, 10))
  return longest * (0.5 + Math.random() / 2)
}
