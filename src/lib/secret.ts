import { inspect } from 'node:util'

const REDACTED = '[redacted]'

/**
 * A value that doesn't print itself: logs, JSON and error messages show `[redacted]`.
 * `reveal()` is the only way to it, so that its uses can be found.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  reveal(): string {
    return this.#value
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}
