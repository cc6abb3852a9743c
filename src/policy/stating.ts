import type { Mistake, Path } from '../lib/document.ts'
import { nearest } from '../lib/nearest.ts'
import type { StatedContext, StatedPrincipal } from './stated-schema.ts'
import type { Inventory } from './vocabulary.ts'

/** What a request is read with. */
export interface Stating {
  readonly inventory: Inventory
  readonly principals: Readonly<Record<string, StatedPrincipal>>
  /** Of requests that don't say otherwise. */
  readonly context: StatedContext
  /** Throws the error for a mistake; paths start at the request. */
  readonly refuse: (mistake: Mistake) => never
}

/** A name that has to be among the declared ones. */
export function declared(
  name: string,
  {
    what,
    path,
    names,
    where = 'declared',
  }: { what: string; path: Path; names: readonly string[]; where?: string },
  { refuse }: Stating,
): string {
  if (names.includes(name)) return name
  const meant = nearest(name, names)
  const expected = meant ? `did you mean '${meant}'?` : `expected ${names.join(', ') || 'it there'}`
  return refuse({ path, message: `${what} '${name}' is not ${where}: ${expected}` })
}

/** What stands under a name; `constructor` and its like don't. */
export function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined
}
