import type { Keystore } from './keystore.ts'

/** Gone with the process: for tests, and for a shell that should leave nothing behind. */
export function memoryKeystore(): Keystore {
  const entries = new Map<string, string>()
  return {
    kind: 'memory',
    get: async (name) => entries.get(name),
    set: async (name, value) => void entries.set(name, value),
    delete: async (name) => void entries.delete(name),
  }
}
