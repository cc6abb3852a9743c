import { newId } from '../lib/handle.ts'
import type { Obligation } from '../protocol/obligation.ts'
import type { HookConfig } from './config/config.ts'
import { notificationBody } from './notifier-message.ts'
import type { GrantRow, NotificationRow } from './store/schema.ts'
import type { Tx } from './store/store.ts'

/** What approvers are to be told: a request that waits for them, or an emergency. */
export interface Notification {
  readonly kind: NotificationRow['kind']
  /** The grant as it is recorded in the same transaction. */
  readonly grant: GrantRow
}

/**
 * Messages to the webhooks of `notify:`, recorded in the transaction of what they tell of: a broker
 * that dies right after it still sends them.
 */
export class Outbox {
  readonly #hooks: readonly (readonly [name: string, hook: HookConfig])[]
  readonly #now: () => number

  constructor(parts: { hooks: Readonly<Record<string, HookConfig>>; now: () => number }) {
    this.#hooks = Object.entries(parts.hooks)
    this.#now = parts.now
  }

  /** One message to each webhook that is to be told. Call it last: nothing is sent before the commit. */
  async enqueue(tx: Tx, notification: Notification): Promise<void> {
    const now = this.#now()
    const { kind, grant } = notification
    const told = this.#hooks.filter(([, hook]) => isTold(hook, notification))
    if (told.length === 0) return
    const body = JSON.stringify(notificationBody(notification))
    const rows = told.map(([hook]) => ({
      id: `msg_${newId(now)}`,
      hook,
      kind,
      grant_id: grant.id,
      body,
      created_at: now,
      attempts: 0,
      next_attempt_at: now,
    }))
    await tx.insertInto('notifications').values(rows).execute()
  }
}

/** An emergency is told to everyone who wants to hear of them, whatever their groups. */
function isTold({ on, groups }: HookConfig, { kind, grant }: Notification): boolean {
  if (!on.includes(kind)) return false
  if (kind === 'break_glass' || groups === undefined) return true
  return approversOf(grant).some((group) => groups.includes(group))
}

function approversOf({ obligation }: GrantRow): string[] {
  const { approvals } = JSON.parse(obligation ?? '{"approvals":[]}') as Obligation
  return approvals.map(({ group }) => group)
}
