import { createHash, sign } from 'node:crypto'
import canonicalize from 'canonicalize'
import { toTimestamp } from '../lib/clock.ts'
import type { AuditEntry, AuditPage } from '../protocol/audit.ts'
import type { LogPosition } from '../protocol/grant.ts'
import type { Principal } from '../protocol/principal.ts'
import type { KeySource } from './key-ring.ts'
import type { SigningKey } from './keys.ts'
import type { Schema } from './store/schema.ts'
import type { Store, Tx } from './store/store.ts'

/** What is recorded beside `seq`, `at`, `prev` and `hash`. Never a secret. */
export interface AuditEvent {
  readonly event: `${'broker' | 'session' | 'grant' | 'lease' | 'sandbox' | 'policy'}.${string}`
  readonly principal: Principal | null
  readonly grant?: string
  readonly [detail: string]: unknown
}

type Head = AuditPage['head']

const HEAD = 'audit_head'
const GENESIS: Head = { seq: 0, hash: '0'.repeat(64), signature: '' }
/** A page ends after so many entries or characters, whichever comes first. */
const PAGE = { entries: 500, characters: 1_000_000 }

export interface AuditLog {
  /** Adds to the log in the transaction of what it records: both become durable, or neither. */
  append(tx: Tx, ...events: readonly AuditEvent[]): Promise<LogPosition>
  head(): Promise<Head>
  /** Signs the head once more: whatever it was signed with may not count any more. */
  signAnew(): Promise<void>
  /** A page of the entries with `seq` greater than `after`, oldest first. */
  page(after: number): Promise<AuditPage>
  /**
   * Entries with `seq` greater than `after` that other nodes wrote, oldest first: all up to `upTo`, which
   * is `after` again where there is nothing new.
   */
  ofOthers(after: number): Promise<{ entries: AuditEntry[]; upTo: number }>
}

/** The hash of an entry: SHA-256 over its canonical JSON (RFC 8785). */
function hashOf(entry: Omit<AuditEntry, 'hash'>): string {
  return createHash('sha256')
    .update(String(canonicalize(entry)))
    .digest('hex')
}

/** A compact JWS (RFC 7515) over `{seq, hash}`: whoever changes the log can't sign its new head. */
function signHead(position: LogPosition, key: SigningKey): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${encode({ alg: key.algorithm, kid: key.kid, typ: 'audit-head+jws' })}.${encode(position)}`
  return `${input}.${sign(null, Buffer.from(input), key.privateKey).toString('base64url')}`
}

async function writeHead(tx: Tx, head: LogPosition, key: SigningKey): Promise<void> {
  const value = JSON.stringify({ ...head, signature: signHead(head, key) })
  await tx
    .insertInto('meta')
    .values({ key: HEAD, value })
    .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
    .execute()
}

async function readHead(db: Store['db']): Promise<Head> {
  const row = await db.selectFrom('meta').select('value').where('key', '=', HEAD).executeTakeFirst()
  return row ? (JSON.parse(row.value) as Head) : GENESIS
}

/** As many as a page holds, and at least one. */
function firstPage<Row extends { entry: string }>(rows: readonly Row[]): readonly Row[] {
  let characters = 0
  const end = rows.findIndex(({ entry }) => {
    characters += entry.length
    return characters > PAGE.characters
  })
  return end < 0 ? rows : rows.slice(0, Math.max(1, end))
}

/**
 * The hash-chained audit log of one ledger: one chain for all its nodes, because they write one after
 * the other, and whoever has seen its head knows what every node had done by then.
 * @param keys that its heads are signed with
 * @param node which of them writes
 */
export function createAuditLog(
  store: Store,
  { keys, node }: { keys: Pick<KeySource, 'signing'>; node: string },
): AuditLog {
  return {
    async append(tx, ...events) {
      let head: LogPosition = await readHead(tx)
      const rows: Schema['audit'][] = []
      for (const { event, principal, grant, ...detail } of events) {
        const at = store.now()
        const unhashed = {
          ...detail,
          seq: head.seq + 1,
          at: toTimestamp(at),
          event,
          principal: principal && { kind: principal.kind, id: principal.id, name: principal.name },
          ...(grant === undefined ? {} : { grant }),
          prev: head.hash,
        }
        const entry = { ...unhashed, hash: hashOf(unhashed) }
        const { seq, hash } = entry
        rows.push({ seq, at, event, grant_id: grant ?? null, entry: JSON.stringify(entry), node })
        head = { seq, hash }
      }
      if (rows.length > 0) await tx.insertInto('audit').values(rows).execute()
      await writeHead(tx, head, keys.signing())
      return head
    },
    head: () => readHead(store.db),
    async ofOthers(after) {
      // This node's own are passed over here, not in the query: it would begin with them each time.
      const rows = await store.db
        .selectFrom('audit')
        .select((eb) => [
          'seq',
          eb.case().when('node', '!=', node).then(eb.ref('entry')).end().as('entry'),
        ])
        .where('seq', '>', after)
        .orderBy('seq')
        .limit(PAGE.entries)
        .execute()
      const entries = rows.flatMap(({ entry }) =>
        entry === null ? [] : [JSON.parse(entry) as AuditEntry],
      )
      return { entries, upTo: rows.at(-1)?.seq ?? after }
    },
    signAnew: () =>
      store.transaction(async (tx) => {
        const { seq, hash } = await readHead(tx)
        if (seq > 0) await writeHead(tx, { seq, hash }, keys.signing())
      }),
    async page(after) {
      // First: what comes later is the next page's.
      const head = await readHead(store.db)
      const rows = await store.db
        .selectFrom('audit')
        .select(['seq', 'entry'])
        .where('seq', '>', after)
        .where('seq', '<=', head.seq)
        .orderBy('seq')
        .limit(PAGE.entries)
        .execute()
      const entries = firstPage(rows)
      const last = rows.at(entries.length - 1)
      const more = entries.length < rows.length || rows.length === PAGE.entries
      return {
        entries: entries.map(({ entry }) => JSON.parse(entry) as AuditEntry),
        ...(more && last ? { next: last.seq } : {}),
        head,
      }
    },
  }
}
