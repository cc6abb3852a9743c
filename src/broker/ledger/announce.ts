import type { Outbox } from '../outbox.ts'
import type { GrantRow } from '../store/schema.ts'
import type { Tx } from '../store/store.ts'
import { obligationOf } from './rows.ts'

/** Tells approvers of a request that waits for them, and of an emergency that is granted. */
export async function announce(
  tx: Tx,
  { row, outbox }: { row: GrantRow; outbox: Outbox },
): Promise<void> {
  const waits = row.state === 'pending' && obligationOf(row).approvals.length > 0
  if (waits) await outbox.enqueue(tx, { kind: 'pending', grant: row })
  const emergency = row.state === 'requested' && row.break_glass === 1
  if (emergency) await outbox.enqueue(tx, { kind: 'break_glass', grant: row })
}
