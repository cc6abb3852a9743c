import * as v from 'valibot'
import { parse } from '../../protocol/parse.ts'
import type { Row } from './connection.ts'
import type { Facts } from './server.ts'
import { anySession } from './sessions.ts'
import { block, identifier, literal, lockHandle } from './sql.ts'

/** What there is of a lease's role, after it was closed. */
const Closed = v.object({
  /** The role's; null where there is none. */
  oid: v.nullable(v.number()),
  comment: v.nullable(v.string()),
  /** The server's clock: milliseconds since the epoch. */
  now: v.number(),
})
export type Closed = v.InferOutput<typeof Closed>

/**
 * First step of revoking, committed alone: no new session and no right beside what open sessions have assumed.
 * Takes away what others were given through the role as well.
 */
export function closeSql(handle: string, facts: Facts): string {
  const name = literal(handle)
  const grantedBy = facts.version < 16 ? '' : ` || format(' GRANTED BY %I', given.grantor)`
  return `SELECT ${lockHandle(handle)};
    ${block(`
      DECLARE
        lease oid;
        given record;
      BEGIN
        SELECT oid INTO lease FROM pg_roles WHERE rolname = ${name};
        IF lease IS NULL THEN RETURN; END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE oid = lease AND rolcanlogin) THEN
          ALTER ROLE ${identifier(handle)} NOLOGIN;
        END IF;
        FOR given IN SELECT r.rolname AS role, m.rolname AS member, g.rolname AS grantor
            FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid
            JOIN pg_roles m ON m.oid = a.member LEFT JOIN pg_roles g ON g.oid = a.grantor
            WHERE a.member = lease OR (a.roleid = lease AND m.rolname <> current_user) LOOP
          EXECUTE format('REVOKE %I FROM %I', given.role, given.member)${grantedBy};
        END LOOP;
      END`)}
    SELECT json_build_object('oid', (SELECT oid::bigint FROM pg_roles WHERE rolname = ${name}),
      'comment', (SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = ${name}),
      'now', floor(extract(epoch FROM clock_timestamp()) * 1000)) AS closed;`
}

export function readClosed(rows: readonly Row[]): Closed {
  return parse(Closed, rows[0]?.closed, { what: 'role', code: 'target_refused' })
}

/** Last step, if there is nothing left to do before it: looks twice, then drops. `gone` tells. */
export function dropIfIdleSql(handle: string, oids: readonly number[]): string {
  return `SELECT ${lockHandle(handle)};
    ${block(`
      BEGIN
        FOR look IN 1..2 LOOP
          PERFORM pg_stat_clear_snapshot();
          IF ${anySession(oids)} OR EXISTS (SELECT FROM pg_prepared_xacts)
            OR EXISTS (${ownedOrGranted(oids)}) THEN RETURN; END IF;
        END LOOP;
        DROP ROLE ${identifier(handle)};
      END`)}
    SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal(handle)}) AS gone;`
}

/** What depends on the role, in any database. */
function ownedOrGranted(oids: readonly number[]): string {
  return `SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid IN (${oids.join(', ')})`
}
