import { JitError } from '../lib/errors.ts'
import type { AuditEntry } from '../protocol/audit.ts'
import type { AuditLog } from './audit.ts'
import type { Log } from './log.ts'
import type { Store } from './store/store.ts'

/** How often it is read although nothing was heard, in milliseconds. */
const POLL_MS = 1000

interface Parts {
  readonly store: Store
  readonly audit: AuditLog
  readonly log: Log
  /** Called with one entry after the other, in their order. */
  readonly told: (entry: AuditEntry) => Promise<void>
}

/**
 * What other nodes do. The audit log has every transition of the ledger in one order, so it is read
 * from where it stood: whatever the store passes on only makes that sooner.
 */
export class Feed {
  readonly #parts: Parts
  #after = 0
  #reading: Promise<void> | undefined
  #again = false
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** @param after the last entry that is known of */
  start(after: number): void {
    const { store } = this.#parts
    if (!store.shared) return
    this.#after = after
    store.onCommit(() => this.#read())
    this.#timer = setInterval(() => this.#read(), POLL_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#reading
  }

  #read(): void {
    this.#again = true
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined
    })
  }

  async #readAll(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      try {
        const { entries, upTo } = await this.#parts.audit.ofOthers(this.#after)
        for (const entry of entries) await this.#tell(entry)
        this.#again ||= upTo > this.#after
        this.#after = upTo
      } catch (thrown) {
        const { message } = JitError.from(thrown)
        this.#parts.log.warn('what other nodes did could not be read', { reason: message })
      }
    }
  }

  async #tell(entry: AuditEntry): Promise<void> {
    try {
      await this.#parts.told(entry)
    } catch (thrown) {
      const { message } = JitError.from(thrown)
      const { seq, event } = entry
      this.#parts.log.warn('what another node did had no effect here', {
        seq,
        event,
        reason: message,
      })
    }
  }
}
