import * as v from 'valibot'
import { parse } from '../../protocol/parse.ts'
import type { Row } from './connection.ts'
import type { Facts } from './server.ts'
import { anySession } from './sessions.ts'
import { block, identifier, literal, lockHandle, lockKey, oidArray, textArray } from './sql.ts'

/** What there is of a lease's role, after it was closed. */
const Closed = v.object({
  /** The role's; null where there is none. */
  oid: v.nullable(v.number()),
  comment: v.nullable(v.string()),
  /** Its sessions that were told to end meanwhile, by process id. */
  ended: v.array(v.number()),
  /** The server's clock: milliseconds since the epoch. */
  now: v.number(),
})
export type Closed = v.InferOutput<typeof Closed>

/**
 * First step of revoking, committed alone: no new session. Those that are open are told to end at once; who signs in
 * again before the commit is found by whoever looks after it.
 */
export function closeSql(handle: string, known: readonly number[]): string {
  const role = `to_regrole(${literal(handle)})`
  return `SELECT ${lockHandle(handle)};
    ${block(`
      BEGIN
        IF ${role} IS NOT NULL THEN ALTER ROLE ${identifier(handle)} NOLOGIN; END IF;
      END`)}
    WITH ended AS MATERIALIZED (SELECT pid, pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL)
      WHERE usesysid = ANY (${oidArray(known)} || ${role}::oid))
    SELECT json_build_object('oid', ${role}::oid::bigint, 'comment', shobj_description(${role}, 'pg_authid'),
      'ended', (SELECT coalesce(json_agg(pid), '[]') FROM ended),
      'now', floor(extract(epoch FROM clock_timestamp()) * 1000)) AS closed;`
}

/**
 * Step for a role that can't be dropped at once: no right beside what open sessions have assumed. With the role goes
 * what a superuser gave it beside us, which is not ours to take; and all of this, far cheaper: REVOKE reads every member
 * that the task's role has.
 */
export function stripSql(handle: string, facts: Facts): string {
  const grantedBy = facts.version < 16 ? '' : ' GRANTED BY %I'
  return `SELECT ${lockHandle(handle)};
    ${block(`
      DECLARE given record;
      BEGIN
        FOR given IN SELECT roleid, grantor FROM pg_auth_members WHERE member = to_regrole(${literal(handle)}) LOOP
          BEGIN
            EXECUTE format('REVOKE %I FROM ${identifier(handle)}${grantedBy}',
              pg_get_userbyid(given.roleid), pg_get_userbyid(given.grantor));
          EXCEPTION WHEN insufficient_privilege THEN NULL;
          END;
        END LOOP;
      END`)}`
}

/**
 * Closes many roles to new sessions and tells their open ones to end, ahead of {@link closeSql}. A role that somebody
 * holds up is passed over: its own turn comes.
 */
export function closeAllSql(handles: readonly string[], known: readonly number[]): string {
  return `${block(`
      DECLARE role text;
      BEGIN
        PERFORM set_config('lock_timeout', '50ms', TRUE);
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname = ANY (${textArray(handles)}) AND rolcanlogin LOOP
          BEGIN
            EXECUTE format('ALTER ROLE %I NOLOGIN', role);
          EXCEPTION WHEN OTHERS THEN NULL;
          END;
        END LOOP;
      END`)}
    SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL) WHERE usesysid = ANY (${oidArray(known)}
      || ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY (${textArray(handles)})));`
}

export function readClosed(rows: readonly Row[]): Closed {
  return parse(Closed, rows[0]?.closed, { what: 'role', code: 'target_refused' })
}

/** How often it is looked whether sessions are gone that were told to end, with 2 ms between. */
const LOOKS = 15

/** Last step, if there is nothing left to do before it: once two looks in a row find no session, drops. `gone` tells. */
export function dropIfIdleSql(handle: string, oids: readonly number[]): string {
  return `${block(`
      DECLARE clean int := 0;
      BEGIN
        FOR look IN 1..${LOOKS} LOOP
          PERFORM pg_stat_clear_snapshot();
          IF ${anySession(oids)} THEN
            clean := 0;
            PERFORM pg_sleep(0.002);
          ELSE
            clean := clean + 1;
            EXIT WHEN clean = 2;
          END IF;
        END LOOP;
        IF clean < 2 THEN RETURN; END IF;
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
    'ended', '[]'::json, 'now', 0) AS closed`
}
