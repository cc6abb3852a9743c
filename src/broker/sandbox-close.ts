import type { Principal } from '../protocol/principal.ts'
import type { AuditLog } from './audit.ts'
import { NOT_HELD } from './ledger/line-ledger.ts'
import type { SandboxEnd, SandboxRow } from './store/schema.ts'
import type { Tx } from './store/store.ts'

/** One, or all of a session. */
export type WhichSandboxes = { readonly id: string } | { readonly sid: string }

interface Closing {
  readonly audit: AuditLog
  readonly by: SandboxEnd
  /** Milliseconds since the epoch. */
  readonly at: number
  /** For the audit log: what it came of. */
  readonly detail?: Readonly<Record<string, unknown>>
  /** Only one whose line is at no node. */
  readonly unheld?: boolean
}

/** Ends sandboxes in the ledger, each once. @returns those that it was this call that ended */
export async function closeSandboxes(
  tx: Tx,
  which: WhichSandboxes,
  { audit, by, at, detail, unheld = false }: Closing,
): Promise<SandboxRow[]> {
  const closed = await tx
    .updateTable('sandboxes')
    .set({ ended_at: at, ended_by: by, ...NOT_HELD })
    .where((eb) => ('id' in which ? eb('id', '=', which.id) : eb('sid', '=', which.sid)))
    .where('ended_at', 'is', null)
    .$if(unheld, (update) => update.where('held_by', 'is', null))
    .returningAll()
    .execute()
  for (const row of closed) {
    const principal = JSON.parse(row.principal) as Principal
    const { sid: session, id: sandbox } = row
    await audit.append(tx, { ...detail, event: 'sandbox.ended', principal, sandbox, session, by })
  }
  return closed
}
