import * as v from 'valibot'
import { parse } from '../../protocol/parse.ts'
import type { Row } from './connection.ts'
import type { Facts } from './server.ts'
import { anySession } from './sessions.ts'
import { block, identifier, literal, lockHandle, lockKey, oidArray } from './sql.ts'

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
 * First step of revoking, committed alone: no new session, and no right beside what open sessions have assumed.
 * What a superuser gave the role beside us is not ours to take: it goes with the role.
 */
export function closeSql(handle: string, facts: Facts): string {
  const role = `to_regrole(${literal(handle)})`
  const grantedBy = facts.version < 16 ? '' : ' GRANTED BY %I'
  return `SELECT ${lockHandle(handle)};
    ${block(`
      DECLARE
        lease oid := ${role};
        given record;
      BEGIN
        IF lease IS NULL THEN RETURN; END IF;
        ALTER ROLE ${identifier(handle)} NOLOGIN;
        FOR given IN SELECT roleid, grantor FROM pg_auth_members WHERE member = lease LOOP
          BEGIN
            EXECUTE format('REVOKE %I FROM ${identifier(handle)}${grantedBy}',
              pg_get_userbyid(given.roleid), pg_get_userbyid(given.grantor));
          EXCEPTION WHEN insufficient_privilege THEN NULL;
          END;
        END LOOP;
      END`)}
    SELECT json_build_object('oid', ${role}::oid::bigint, 'comment', shobj_description(${role}, 'pg_authid'),
      'now', floor(extract(epoch FROM clock_timestamp()) * 1000)) AS closed;`
}

export function readClosed(rows: readonly Row[]): Closed {
  return parse(Closed, rows[0]?.closed, { what: 'role', code: 'target_refused' })
}

/** Last step, if there is nothing left to do before it: looks twice, then drops. `gone` tells. */
export function dropIfIdleSql(handle: string, oids: readonly number[]): string {
  return `${block(`
      BEGIN
        FOR look IN 1..2 LOOP
          PERFORM pg_stat_clear_snapshot();
          IF ${anySession(oids)} THEN RETURN; END IF;
        END LOOP;
        IF EXISTS (SELECT FROM pg_prepared_xact()) OR EXISTS (SELECT FROM pg_shdepend
          WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (${oidArray(oids)})) THEN RETURN; END IF;
        DROP ROLE ${identifier(handle)};
      END`)}
    SELECT to_regrole(${literal(handle)}) IS NULL AS gone;`
}

/** Sessions that hold the handle's lock and are none of ours: anybody may take it, to hold up a revocation. */
export function freeLockSql(handle: string): string {
  return `SELECT pg_terminate_backend(l.pid) FROM pg_lock_status() l JOIN pg_stat_get_activity(NULL) a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint << 32 | l.objid::bigint) = ${lockKey(handle)}
      AND a.usesysid <> to_regrole(quote_ident(session_user))`
}

/** The role as it is now: `oid` and `comment`. */
export function roleSql(handle: string): string {
  const role = `to_regrole(${literal(handle)})`
  return `SELECT json_build_object('oid', ${role}::oid::bigint, 'comment', shobj_description(${role}, 'pg_authid'),
    'now', 0) AS closed`
}
