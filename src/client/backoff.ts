/** Milliseconds: between attempts to connect again, at first and at most. */
const BACKOFF = { first: 100, most: 2000 }

/** The longest wait that a broker may ask for, in seconds. */
const MOST_ASKED = 60

/**
 * Milliseconds before the next attempt, with jitter so that many clients don't come at once.
 * @param asked seconds that the broker wants to be left alone (RFC 9110 section 10.2.3)
 */
export function backoff(attempt: number, asked = 0): number {
  const longest = Math.min(BACKOFF.most, BACKOFF.first * 2 ** Math.min(attempt, 10))
  const wanted = Math.min(Math.max(asked, 0), MOST_ASKED) * 1000
  return wanted + longest * (0.5 + Math.random() / 2)
}
