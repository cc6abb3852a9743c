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
  /** OIDs of other roles that were given this one: their sessions may have assumed it, or what it could. */
  heirs: v.optional(v.array(v.number()), []),
  /** The server's clock: milliseconds since the epoch. */
  now: v.number(),
})
export type Closed = v.InferOutput<typeof Closed>

/**
 * First step of revoking, committed alone: no new session, and no right beside what open sessions have assumed.
 * Takes away what others were given through the role as well: before 16 a role may hand out itself, and whoever
 * assumed it keeps that until the session ends. What a superuser gave beside us goes with the role.
 */
export function closeSql(handle: string, facts: Facts): string {
  const role = `to_regrole(${literal(handle)})`
  const grantedBy = facts.version < 16 ? '' : ' GRANTED BY %I'
  return `SELECT ${lockHandle(handle)};
    ${block(`
      DECLARE
        lease oid := ${role};
        heirs bigint[] := '{}';
        given record;
      BEGIN
        IF lease IS NULL THEN RETURN; END IF;
        ALTER ROLE ${identifier(handle)} NOLOGIN;
        FOR given IN SELECT roleid, member, grantor FROM pg_auth_members WHERE member = lease
            UNION ALL SELECT roleid, member, grantor FROM pg_auth_members
            WHERE roleid = lease AND member <> to_regrole(quote_ident(current_user)) LOOP
          BEGIN
            EXECUTE format('REVOKE %I FROM %I${grantedBy}', pg_get_userbyid(given.roleid),
              pg_get_userbyid(given.member), pg_get_userbyid(given.grantor));
          EXCEPTION WHEN insufficient_privilege THEN NULL;
          END;
          IF given.roleid = lease THEN heirs := heirs || given.member::bigint; END IF;
        END LOOP;
        PERFORM set_config('jit.heirs', array_to_json(heirs)::text, true);
      END`)}
    SELECT json_build_object('oid', ${role}::oid::bigint, 'comment', shobj_description(${role}, 'pg_authid'),
      'now', floor(extract(epoch FROM clock_timestamp()) * 1000), 'heirs', coalesce(nullif(current_setting('jit.heirs', true), ''), '[]')::json) AS closed;`
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
