import type { Keystore } from './keystore.ts'
import { memoryKeystore } from './memory.ts'

/**
 * A keystore of which one entry is kept in this process alone, and gone with it; all others are where
 * they were.
 */
export function withOneInMemory(name: string, rest: Keystore): Keystore {
  const memory = memoryKeystore()
  const of = (entry: string) => (entry === name ? memory : rest)
  return {
    kind: 'memory',
    get: (entry) => of(entry).get(entry),
    set: (entry, value) => of(entry).set(entry, value),
    delete: (entry) => of(entry).delete(entry),
  }
}
