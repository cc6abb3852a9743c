import { randomBytes } from 'node:crypto'
import type { PostgresUpstream } from './postgres-upstream.ts'
import { type BackendKey, encodeBackendKey } from './postgres-wire.ts'

/** Whose statement a cancel request is about. */
export interface Cancellable {
  readonly upstream: PostgresUpstream
  readonly key: BackendKey
}

/** The keys that clients were given, in the place of the server's: they cancel through this port alone. */
export class CancelKeys {
  readonly #known = new Map<string, Cancellable>()

  /** As long as the server's, which follows from the version that it speaks. */
  add(what: Cancellable): BackendKey {
    const key = {
      pid: randomBytes(4).readInt32BE(),
      secret: randomBytes(what.key.secret.length),
    }
    this.#known.set(nameOf(key), what)
    return key
  }

  find(key: BackendKey): Cancellable | undefined {
    return this.#known.get(nameOf(key))
  }

  remove(key: BackendKey): void {
    this.#known.delete(nameOf(key))
  }
}

function nameOf(key: BackendKey): string {
  return encodeBackendKey(key).toString('hex')
}
