import { mintedComment } from './mint.ts'
import { block, identifier, literal, lockHandle, timestamp } from './sql.ts'

/**
 * Moves the deadline of a lease's role, in one transaction under the lock that mint and revoke take. It
 * refuses a role that a revocation has closed, one that isn't what was minted under this name, and one
 * whose time is over by the server's own clock: nothing dead comes back to life.
 * @param until milliseconds since the epoch
 */
export function extendSql(
  { handle, externalId }: { readonly handle: string; readonly externalId?: string },
  until: number,
): string {
  const own =
    externalId !== undefined && /^\d{1,10}$/.test(externalId)
      ? `lease.oid <> ${externalId}`
      : 'TRUE'
  return `SELECT ${lockHandle(handle)};
    ${block(`
      DECLARE
        lease record;
      BEGIN
        SELECT oid, rolcanlogin, rolvaliduntil, shobj_description(oid, 'pg_authid') AS comment
          FROM pg_roles WHERE rolname = ${literal(handle)} INTO lease;
        IF NOT FOUND THEN RAISE EXCEPTION 'the role is gone'; END IF;
        IF NOT lease.rolcanlogin THEN RAISE EXCEPTION 'the role is being revoked'; END IF;
        IF ${own} OR NOT coalesce(${mintedComment('lease.comment')}, FALSE) THEN
          RAISE EXCEPTION 'the role is not the one that was made';
        END IF;
        IF lease.rolvaliduntil <= clock_timestamp() THEN RAISE EXCEPTION 'the role has expired'; END IF;
        IF ${timestamp(until)} <= clock_timestamp() THEN
          RAISE EXCEPTION 'the new deadline is past by this clock';
        END IF;
        ALTER ROLE ${identifier(handle)} VALID UNTIL ${literal(new Date(until).toISOString())};
      END`)}`
}
