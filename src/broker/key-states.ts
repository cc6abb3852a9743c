import type { SigningKeyRow } from './store/schema.ts'

/** How far the clocks of those who sign and those who check may be apart, in milliseconds. */
export const KEY_MARGIN_MS = 60_000

/**
 * - `published`: others may fetch it; it signs later
 * - `signing`: the one that signs
 * - `verifying`: replaced; what it signed still counts
 * - `retired`: nothing that it signed is alive
 * - `withdrawn`: somebody else may have it; nothing that it signed counts
 */
export type KeyState = 'published' | 'signing' | 'verifying' | 'retired' | 'withdrawn'

export interface KeyInState {
  readonly row: SigningKeyRow
  readonly state: KeyState
  /** When it stops to sign, once that is known: milliseconds since the epoch. */
  readonly signsUntil: number | undefined
}

/**
 * The state of each key of one purpose. It follows from times in the store alone, so that all nodes
 * agree without talking to each other.
 * @param rows of one purpose
 * @param now milliseconds since the epoch by the store's clock
 */
export function keyStates(rows: readonly SigningKeyRow[], now: number): readonly KeyInState[] {
  const sound = rows
    .filter(({ withdrawn_at }) => withdrawn_at === null)
    .toSorted((one, other) => one.generation - other.generation)
  return rows.map((row) => {
    if (row.withdrawn_at !== null) return { row, state: 'withdrawn', signsUntil: row.withdrawn_at }
    const signsUntil = sound[sound.indexOf(row) + 1]?.signs_at
    return { row, state: stateOf(row, signsUntil, now), signsUntil }
  })
}

function stateOf(row: SigningKeyRow, signsUntil: number | undefined, now: number): KeyState {
  if (row.signs_at > now) return 'published'
  if (signsUntil === undefined || signsUntil > now) return 'signing'
  return signsUntil + row.longest + KEY_MARGIN_MS > now ? 'verifying' : 'retired'
}
