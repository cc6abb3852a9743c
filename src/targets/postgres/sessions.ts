import { setTimeout as wait } from 'node:timers/promises'
import * as v from 'valibot'
import { JitError } from '../../lib/errors.ts'
import { parse } from '../../protocol/parse.ts'
import { Refusal, type Run } from './connection.ts'
import { literal, oidArray } from './sql.ts'

/** How long a sign-in that had begun before the role was closed may take (milliseconds). */
const STARTING_GRACE = 1_000
const PATIENCE = 8_000
const INSUFFICIENT_PRIVILEGE = '42501'
const FIRST_PAUSE = 3
const LONGEST_PAUSE = 50

/**
 * Client sessions, and backends that are still starting: those hold a lock on their virtual transaction from before
 * they authenticate, but have no user in `pg_stat_activity` until after `post_auth_delay`, which a client may ask for.
 * What the server runs for itself looks alike and is told apart by its type, where we may see that.
 * (The functions below `pg_stat_activity` and `pg_locks`: their views look up more than is needed.)
 */
const ACTIVITY = `activity AS MATERIALIZED (SELECT pid, usesysid, backend_type FROM pg_stat_get_activity(NULL)),
  starting AS (SELECT l.pid, l.virtualtransaction FROM pg_lock_status() l LEFT JOIN activity a ON a.pid = l.pid
    WHERE l.locktype = 'virtualxid' AND l.pid IS NOT NULL AND a.usesysid IS NULL
      AND coalesce(a.backend_type, 'client backend') = 'client backend')`

/** True while a session of these roles is open, or some session is only starting. */
export function anySession(oids: readonly number[]): string {
  return `(WITH ${ACTIVITY} SELECT EXISTS (SELECT FROM activity WHERE usesysid = ANY (${oidArray(oids)}))
    OR EXISTS (SELECT FROM starting))`
}

/** Looks again with fresh eyes: within a transaction, activity is read once and kept. */
const LOOK_AGAIN = 'SELECT pg_stat_clear_snapshot();'

const Sight = v.object({ sessions: v.array(v.number()), starting: v.array(v.string()) })
type Sight = v.InferOutput<typeof Sight>

async function look(run: Run, oids: readonly number[]): Promise<Sight> {
  const rows = await run(`${LOOK_AGAIN} WITH ${ACTIVITY} SELECT json_build_object(
    'sessions', (SELECT coalesce(json_agg(pid), '[]') FROM activity WHERE usesysid = ANY (${oidArray(oids)})),
    'starting', (SELECT coalesce(json_agg(pid || ' ' || virtualtransaction), '[]') FROM starting)
  ) AS sight`)
  return parse(Sight, rows[0]?.sight, { what: 'sessions', code: 'target_refused' })
}

/**
 * Ends every session of these roles, by OID: a session that did SET ROLE, or whose role is gone, has no name to be
 * found by. The roles must be closed to new sessions already.
 * @param told sessions that were told to end before
 * @returns how many were ended
 * @throws JitError `target_refused` when some stay for 8 s
 */
export async function endSessions(
  run: Run,
  { oids, told }: { oids: readonly number[]; told: readonly number[] },
  signal: AbortSignal,
): Promise<number> {
  const began = performance.now()
  const ended = new Set(told)
  let suspects: string[] | undefined
  for (let clean = 0, pause = FIRST_PAUSE; clean < 2; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    const sight = await look(run, oids)
    // Whoever begins to sign in from now on is refused: only those already there matter.
    const before = suspects ?? sight.starting
    suspects = sight.starting.filter((one) => before.includes(one))
    for (const pid of sight.sessions) ended.add(pid)
    if (sight.sessions.length > 0) await run(terminateSql(oids))
    const waited = performance.now() - began
    if (suspects.length > 0 && waited > STARTING_GRACE) suspects = await endStarting(run, suspects)
    clean = sight.sessions.length + suspects.length === 0 ? clean + 1 : 0
    if (waited > PATIENCE) throw new JitError('target_refused', 'sessions that do not end')
    if (clean < 2) await wait(pause, undefined, { signal })
  }
  return ended.size
}

/** Tells every session of these roles to end, and doesn't wait. */
export function terminateSql(oids: readonly number[]): string {
  return `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = ANY (${oidArray(oids)});`
}

/**
 * Only a backend that has passed authentication is a danger, and only such a one may be ended by an administrator who
 * isn't a superuser: the others are refused by the closed role itself.
 * @returns those that were told to end
 */
async function endStarting(run: Run, suspects: readonly string[]): Promise<string[]> {
  const told: string[] = []
  for (const suspect of suspects) {
    try {
      await run(`WITH ${ACTIVITY} SELECT pg_terminate_backend(pid) FROM starting
        WHERE pid || ' ' || virtualtransaction = ${literal(suspect)}`)
      told.push(suspect)
    } catch (error) {
      if (!(error instanceof Refusal) || error.sqlState !== INSUFFICIENT_PRIVILEGE) throw error
    }
  }
  return told
}
