import type { Ceiling } from '../protocol/principal.ts'

/** What may be asked for at most, a line for each kind of it. */
export function ceilingLines({ tasks, environments, targets }: Ceiling): string[] {
  const kinds = { tasks, environments, targets }
  return Object.entries(kinds).flatMap(([kind, names]) =>
    names === undefined ? [] : [`${kind} at most: ${names.join(', ')}`],
  )
}
