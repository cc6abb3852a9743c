import type { TaskRoles } from './config.ts'
import type { Facts } from './server.ts'
import { refusedRoles } from './server.ts'
import { block, identifier, literal, lockHandle, timestamp } from './sql.ts'

/** Sessions one lease may have at once. */
const CONNECTION_LIMIT = 64
const COMMENT = 'jit lease'
const OWNER = `${COMMENT}, owner: `

export interface RoleToMake {
  readonly handle: string
  readonly verifier: string
  readonly mintBy: number
  readonly expiresAt: number
  readonly task: TaskRoles
}

/**
 * Makes the lease's role. Several statements in one message are one transaction (PostgreSQL manual, 54.2.2.1):
 * one round trip, all or nothing. Answers with its `oid`.
 */
export function mintSql(role: RoleToMake, facts: Facts): string {
  const name = identifier(role.handle)
  return [
    `SELECT ${lockHandle(role.handle)};`,
    guard(role),
    `CREATE ROLE ${name} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
      CONNECTION LIMIT ${CONNECTION_LIMIT} VALID UNTIL ${literal(new Date(role.expiresAt).toISOString())}
      PASSWORD ${literal(role.verifier)};`,
    ...role.task.roles.map((granted) => grant(granted, role, facts)),
    ...ownership(role),
    // Without it, an administrator who isn't a superuser can't clean up after the lease.
    facts.superuser ? '' : `GRANT ${name} TO CURRENT_USER${options(facts, { set: true })};`,
    `SELECT oid FROM pg_roles WHERE rolname = ${literal(role.handle)};`,
  ].join('\n')
}

/** Makes a lease's role and drops it, all in a transaction that is rolled back: nobody else ever sees it. */
export function rehearsalSql(role: RoleToMake, facts: Facts): string {
  return [
    'BEGIN;',
    mintSql(role, facts),
    `DROP ROLE ${identifier(role.handle)};`,
    'ROLLBACK;',
  ].join('\n')
}

/** The clock is read after the lock: whoever holds it next knows that a later mint is refused. */
function guard({ mintBy, task }: RoleToMake): string {
  return block(`
    DECLARE refused name;
    BEGIN
      IF clock_timestamp() > ${timestamp(mintBy)} THEN
        RAISE EXCEPTION 'too late to create the role';
      END IF;
      ${refusedRoles(task.roles)} LIMIT 1 INTO refused;
      IF refused IS NOT NULL THEN
        RAISE EXCEPTION 'no lease may be a member of %', refused;
      END IF;
    END`)
}

function grant(granted: string, { handle, task }: RoleToMake, facts: Facts): string {
  const set = granted === task.owner
  return `GRANT ${identifier(granted)} TO ${identifier(handle)}${options(facts, { set })};`
}

/** Before 16 a membership has no options: it can always SET ROLE. */
function options(facts: Facts, { set }: { set: boolean }): string {
  return facts.version < 16 ? '' : ` WITH INHERIT TRUE, SET ${set ? 'TRUE' : 'FALSE'}`
}

/**
 * What the lease makes belongs to the owner from birth. Who that is, revoking reads from the comment: a role can
 * change its own settings, its comment it can't.
 */
function ownership({ handle, task }: RoleToMake): string[] {
  const name = identifier(handle)
  if (task.owner === undefined) return [`COMMENT ON ROLE ${name} IS ${literal(COMMENT)};`]
  return [
    `ALTER ROLE ${name} SET role TO ${literal(task.owner)};`,
    `COMMENT ON ROLE ${name} IS ${literal(OWNER + task.owner)};`,
  ]
}

/** SQL that tells whether a role's comment is one that {@link mintSql} leaves. */
export function mintedComment(expression: string): string {
  return `(${expression} = ${literal(COMMENT)} OR starts_with(${expression}, ${literal(OWNER)}))`
}

/** The owner that {@link mintSql} noted. */
export function ownerFromComment(comment: string | null): string | undefined {
  return comment?.startsWith(OWNER) ? comment.slice(OWNER.length) : undefined
}
