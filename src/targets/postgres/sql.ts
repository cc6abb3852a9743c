import { JitError } from '../../lib/errors.ts'
import { HANDLE_LENGTH } from '../../lib/handle.ts'

const HANDLE = new RegExp(`^j[a-z0-9]{${HANDLE_LENGTH - 1}}$`)

/** A name as SQL (PostgreSQL manual, 4.1.1). */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A string as SQL, whatever `standard_conforming_strings` says. */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`
  return text.includes('\\') ? ` E${quoted}` : quoted
}

/** Milliseconds since the epoch as a `timestamptz`. */
export function timestamp(milliseconds: number): string {
  return `${literal(new Date(milliseconds).toISOString())}::timestamptz`
}

export function textArray(items: readonly string[]): string {
  return `ARRAY[${items.map(literal).join(', ')}]::text[]`
}

export function oidArray(oids: readonly number[]): string {
  return `ARRAY[${oids.map(Number).join(', ')}]::oid[]`
}

/** PL/pgSQL to run at once. */
export function block(body: string): string {
  return `DO ${literal(body)};`
}

/** A handle is part of statements as it is: anything else is refused before. */
function checkHandle(handle: string): string {
  if (HANDLE.test(handle)) return handle
  throw new JitError('internal', 'not a lease handle')
}

/** The advisory lock of a handle. */
export function lockKey(handle: string): string {
  return `hashtextextended(${literal(checkHandle(handle))}, 0)`
}

/** Held by mint and revoke to the end of their transactions, so that neither passes the other unseen. */
export function lockHandle(handle: string): string {
  return `pg_advisory_xact_lock(${lockKey(handle)})`
}
