import type { AuditLog } from './audit.ts'
import type { HookConfig } from './config/config.ts'
import { principalOf } from './ledger/rows.ts'
import type { Log } from './log.ts'
import { type Delivery, HOOK_TIMEOUT_MS, Hook } from './notifier-hook.ts'
import type { GrantRow, NotificationRow } from './store/schema.ts'
import type { Store } from './store/store.ts'

const POLL_MS = 500
const AT_ONCE = 16
/** How long a message belongs to the broker that sends it: one that died meanwhile did not. */
const CLAIM_MS = 2 * HOOK_TIMEOUT_MS
/** The longest pause between two attempts, and for how long a message is tried. */
const MAX_PAUSE_MS = 5 * 60_000
const GIVE_UP_MS = 24 * 3600_000

/** The pause after so many attempts: doubled each time, capped, and jittered so that retries spread. */
export function notifyPause(attempts: number, random: () => number = Math.random): number {
  const pause = Math.min(MAX_PAUSE_MS, 500 * 2 ** Math.min(attempts, 20))
  return Math.round(pause / 2 + (random() * pause) / 2)
}

interface Parts {
  readonly hooks: Readonly<Record<string, HookConfig>>
  readonly resolveReference: (reference: string) => string
  readonly store: Store
  readonly audit: AuditLog
  readonly log: Log
}

/**
 * Sends what the outbox holds, at least once each and under one `webhook-id`, until it is taken, a
 * day is over, or nobody waits for the answer any more.
 */
export class Notifier {
  readonly #parts: Parts
  readonly #hooks: ReadonlyMap<string, Hook>
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined

  /** @throws JitError `config_invalid`: a reference that leads nowhere, a URL or key that is none */
  constructor(parts: Parts) {
    this.#parts = parts
    const { resolveReference } = parts
    this.#hooks = new Map(
      Object.entries(parts.hooks).map(([name, config]) => [
        name,
        new Hook(name, config, resolveReference),
      ]),
    )
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#sending ??= this.#sendDue().finally(() => {
        this.#sending = undefined
      })
    }, POLL_MS)
  }

  /** What is being sent is cut off, and sent again after the next start. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopping.abort()
    await this.#sending
  }

  async #sendDue(): Promise<void> {
    const { store, log } = this.#parts
    try {
      const due = await store.db
        .selectFrom('notifications')
        .selectAll()
        .where('next_attempt_at', '<=', store.now())
        .orderBy('next_attempt_at')
        .limit(AT_ONCE)
        .execute()
      await Promise.all(due.map((row) => this.#attempt(row)))
    } catch (thrown) {
      log.warn('notifications could not be sent', { reason: String(thrown) })
    }
  }

  async #attempt(due: NotificationRow): Promise<void> {
    const claimed = await this.#claim(due)
    if (!claimed) return
    const { row, grant } = claimed
    if (row.kind === 'pending' && grant.state !== 'pending') return this.#forget(row)
    const delivery = await this.#send(row)
    if (delivery.kind === 'taken') return this.#settle(row, grant)
    const now = this.#parts.store.now()
    if (this.#stopping.signal.aborted) return this.#postpone(row, now)
    const { problem, again } = delivery
    this.#parts.log.warn('a webhook did not take a message', { hook: row.hook, problem })
    const next = now + Math.max(notifyPause(row.attempts), Math.min(again, MAX_PAUSE_MS))
    if (next < row.created_at + GIVE_UP_MS) return this.#postpone(row, next)
    return this.#settle(row, grant, problem)
  }

  async #send({ hook: name, id, body }: NotificationRow): Promise<Delivery> {
    const hook = this.#hooks.get(name)
    if (!hook) return { kind: 'failed', problem: 'it is not configured any more', again: 0 }
    return hook.post({ id, body, at: this.#parts.store.now() }, this.#stopping.signal)
  }

  /** Takes a message for one attempt: of several brokers one does. */
  #claim(due: NotificationRow): Promise<{ row: NotificationRow; grant: GrantRow } | undefined> {
    const { store } = this.#parts
    return store.transaction(async (tx) => {
      const row = await tx
        .updateTable('notifications')
        .set({ attempts: due.attempts + 1, next_attempt_at: store.now() + CLAIM_MS })
        .where('id', '=', due.id)
        .where('next_attempt_at', '=', due.next_attempt_at)
        .returningAll()
        .executeTakeFirst()
      if (!row) return undefined
      const grant = await tx
        .selectFrom('grants')
        .selectAll()
        .where('id', '=', row.grant_id)
        .executeTakeFirstOrThrow()
      return { row, grant }
    })
  }

  async #postpone(row: NotificationRow, at: number): Promise<void> {
    await this.#parts.store.db
      .updateTable('notifications')
      .set({ next_attempt_at: at })
      .where('id', '=', row.id)
      .execute()
  }

  async #forget(row: NotificationRow): Promise<void> {
    await this.#parts.store.db.deleteFrom('notifications').where('id', '=', row.id).execute()
  }

  /** @param problem why it was given up; absent: it was taken */
  async #settle({ id, hook, kind }: NotificationRow, grant: GrantRow, problem?: string) {
    const { store, audit } = this.#parts
    await store.transaction(async (tx) => {
      await tx.deleteFrom('notifications').where('id', '=', id).execute()
      await audit.append(tx, {
        event: problem === undefined ? 'grant.notified' : 'grant.not_notified',
        principal: principalOf(grant),
        grant: grant.id,
        hook,
        about: kind,
        ...(problem === undefined ? {} : { problem }),
      })
    })
  }
}
