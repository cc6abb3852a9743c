import * as v from 'valibot'
import { JitError } from '../../lib/errors.ts'
import { parse } from '../../protocol/parse.ts'
import type { TaskRoles } from './config.ts'
import type { Row } from './connection.ts'
import { identifier, literal, textArray } from './sql.ts'

/** What the administrator's login finds at the server. */
const Facts = v.object({
  /** `server_version_num / 10000`. */
  version: v.number(),
  superuser: v.boolean(),
  createrole: v.boolean(),
  signals: v.boolean(),
  standby: v.boolean(),
  user: v.string(),
  identity: v.string(),
  /** Roles it may not hand out. */
  withheld: v.array(v.string()),
  missing: v.array(v.string()),
  refused: v.array(v.string()),
})
export type Facts = v.InferOutput<typeof Facts>

/** Before 15 a role could hand out itself to others. */
const OLDEST = 15

/**
 * Roles that a lease must not come to, however indirectly. With LOGIN, a lease that can SET ROLE to it could give it
 * a password of its own and come back; the last three are, in PostgreSQL's words, as good as superuser.
 */
const REFUSED = `rolcanlogin OR rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls OR rolname IN
  ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files')`

/** The names among `roles`, and those they are members of, that no lease may have. */
export function refusedRoles(roles: readonly string[]): string {
  return `WITH RECURSIVE reached(oid) AS (
      SELECT oid FROM pg_roles WHERE rolname = ANY (${textArray(roles)})
      UNION SELECT m.roleid FROM pg_auth_members m JOIN reached r ON m.member = r.oid
    ) SELECT rolname FROM pg_roles JOIN reached USING (oid) WHERE ${REFUSED}`
}

/** One row, `facts`: everything that is checked before the first lease. */
export function factsQuery(roles: readonly string[]): string {
  return `SELECT json_build_object(
    'version', current_setting('server_version_num')::int / 10000,
    'superuser', rolsuper, 'createrole', rolcreaterole, 'user', rolname,
    'signals', pg_has_role('pg_signal_backend', 'USAGE'),
    'standby', pg_is_in_recovery(),
    'identity', (SELECT system_identifier FROM pg_control_system()) || '/' ||
      (SELECT oid FROM pg_database WHERE datname = current_database()),
    'withheld', (SELECT coalesce(json_agg(name), '[]') FROM unnest(${textArray(roles)}) name
      JOIN pg_roles g ON g.rolname = name WHERE NOT pg_has_role(g.oid, 'USAGE WITH ADMIN OPTION')),
    'missing', (SELECT coalesce(json_agg(name), '[]') FROM unnest(${textArray(roles)}) name
      WHERE NOT EXISTS (SELECT FROM pg_roles g WHERE g.rolname = name)),
    'refused', (SELECT coalesce(json_agg(rolname), '[]') FROM (${refusedRoles(roles)}) refused)
  ) AS facts FROM pg_roles WHERE rolname = current_user`
}

/**
 * Reads {@link factsQuery}'s answer and checks it.
 * @throws JitError `config_invalid`: what the administrator or a role lacks, and how to mend it
 */
export function readFacts(rows: readonly Row[], target: string): Facts {
  const facts = parse(Facts, rows[0]?.facts, { what: `target ${target}`, code: 'target_refused' })
  const problem = problemOf(facts)
  if (problem) throw new JitError('config_invalid', `target ${target}: ${problem.message}`, problem)
  return facts
}

function problemOf(facts: Facts): { message: string; hint?: string } | undefined {
  const { missing, refused, standby, version } = facts
  if (version < OLDEST) return { message: `PostgreSQL ${version} is too old: ${OLDEST} or later` }
  if (standby) return { message: 'it is a standby, where no role can be made' }
  if (missing.length > 0) return { message: `no such role: ${missing.join(', ')}` }
  if (refused.length > 0) {
    return {
      message: `no lease may be a member of ${refused.join(', ')}`,
      hint: 'a role of a task, and what it is a member of, has no LOGIN, SUPERUSER, CREATEROLE, REPLICATION, BYPASSRLS, nor a right to files or programs of the server',
    }
  }
  return facts.superuser ? undefined : adminProblem(facts)
}

function adminProblem(facts: Facts): { message: string; hint: string } | undefined {
  const user = identifier(facts.user)
  if (!facts.createrole) {
    return { message: 'the administrator lacks CREATEROLE', hint: `ALTER ROLE ${user} CREATEROLE` }
  }
  if (!facts.signals) {
    return {
      message: 'the administrator cannot end sessions',
      hint: `GRANT pg_signal_backend TO ${user}`,
    }
  }
  const [role] = facts.withheld
  // Before 16, CREATEROLE may hand out any role that isn't a superuser.
  if (role === undefined || facts.version < 16) return undefined
  return {
    message: `the administrator may not hand out ${facts.withheld.join(', ')}`,
    hint: `GRANT ${identifier(role)} TO ${user} WITH ADMIN OPTION`,
  }
}

/** Roles of all tasks, each once. */
export function allRoles(tasks: Readonly<Record<string, TaskRoles>>): string[] {
  return [...new Set(Object.values(tasks).flatMap(({ roles }) => roles))]
}

/** This ledger's roles. */
export function handlesQuery(prefix: string): string {
  return `SELECT rolname FROM pg_roles WHERE starts_with(rolname, ${literal(prefix)})
    AND rolname ~ '^j[a-z0-9]{31}$' ORDER BY rolname`
}

/** When a handle's role may sign in no more, in milliseconds since the epoch, and whether that is past. */
export function deadlineQuery(handle: string): string {
  return `SELECT floor(extract(epoch FROM rolvaliduntil) * 1000)::bigint AS at,
      rolvaliduntil <= clock_timestamp() AS passed
    FROM pg_roles WHERE rolname = ${literal(handle)} AND isfinite(rolvaliduntil)`
}
