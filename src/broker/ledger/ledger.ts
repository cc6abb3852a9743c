import { randomInt } from 'node:crypto'
import type { AuditLog } from '../audit.ts'
import type { Outbox } from '../outbox.ts'
import type { Seal } from '../seal.ts'
import type { Store } from '../store/store.ts'
import { GrantLedger } from './grant-ledger.ts'
import { LeaseLedger } from './lease-ledger.ts'
import { LeaseTransitions } from './lease-transitions.ts'
import { LedgerReader } from './ledger-reader.ts'
import { LineLedger } from './line-ledger.ts'
import { NodeLedger } from './node-ledger.ts'
import { QuarantineLedger } from './quarantine-ledger.ts'
import { RenewalLedger } from './renewal-ledger.ts'
import { RequestLedger } from './request-ledger.ts'
import { SandboxLedger } from './sandbox-ledger.ts'

/** All that is granted, and what became of it: the truth that targets are measured against. */
export interface Ledger {
  /** Part of every handle, so that a sweep can tell its own. */
  readonly id: string
  readonly grants: GrantLedger
  readonly requests: RequestLedger
  readonly renewals: RenewalLedger
  readonly leases: LeaseLedger
  readonly sandboxes: SandboxLedger
  readonly lines: LineLedger
  readonly nodes: NodeLedger
  readonly quarantine: QuarantineLedger
  readonly read: LedgerReader
}

const ID_LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

async function ledgerId(store: Store): Promise<string> {
  const value = Array.from({ length: 5 }, () => ID_LETTERS[randomInt(ID_LETTERS.length)]).join('')
  await store.db
    .insertInto('meta')
    .values({ key: 'ledger_id', value })
    .onConflict((conflict) => conflict.column('key').doNothing())
    .execute()
  const row = await store.db
    .selectFrom('meta')
    .select('value')
    .where('key', '=', 'ledger_id')
    .executeTakeFirstOrThrow()
  return row.value
}

/**
 * Opens the ledger; its id is drawn when it is first opened.
 * @param parts.mark of this process, for the names of what it mints
 */
export async function openLedger(parts: {
  mark: string
  store: Store
  audit: AuditLog
  seal: Seal
  outbox: Outbox
  /** This process, among those over the store. */
  node: string
}): Promise<Ledger> {
  const id = await ledgerId(parts.store)
  const leases = new LeaseTransitions({ ...parts, id })
  return {
    id,
    grants: new GrantLedger({ ...parts, leases }),
    requests: new RequestLedger({ ...parts, leases }),
    renewals: new RenewalLedger(parts),
    leases: new LeaseLedger(parts),
    sandboxes: new SandboxLedger(parts),
    lines: new LineLedger(parts),
    nodes: new NodeLedger(parts),
    quarantine: new QuarantineLedger(parts),
    read: new LedgerReader(parts),
  }
}
