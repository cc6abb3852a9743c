import * as v from 'valibot'
import { parse } from '../../protocol/parse.ts'
import type { Cleaning } from './cleaning.ts'
import { actAs } from './cleaning.ts'
import { identifier, literal } from './sql.ts'

const Prepared = v.object({
  gid: v.string(),
  database: v.string(),
  owner: v.string(),
  /** False where somebody else could have prepared it too. */
  certain: v.boolean(),
})

/**
 * Prepared transactions outlive their sessions, with their locks. PostgreSQL notes only the *current* role of who
 * prepared one: after SET ROLE that is the owner. So the lease's are those in its own name; those that hold a lock on
 * it or on the catalogue of roles; and those in the owner's name if nobody else who may sign in could have used it, administrators aside.
 */
function preparedSql({ handle, oid, owner }: Cleaning): string {
  return `WITH RECURSIVE able(oid) AS (
      SELECT oid FROM pg_roles WHERE rolname = ${literal(owner ?? '')}
      UNION SELECT m.member FROM pg_auth_members m JOIN able a ON m.roleid = a.oid
    ) SELECT coalesce(json_agg(json_build_object(
      'gid', p.gid, 'database', p.database, 'owner', p.owner, 'certain', touches.it OR NOT EXISTS (
        SELECT FROM able JOIN pg_roles r USING (oid) WHERE r.rolcanlogin AND NOT r.rolcreaterole AND NOT r.rolsuper))), '[]') AS prepared
    FROM pg_prepared_xacts p, LATERAL (SELECT p.owner = ${literal(handle)} OR EXISTS (
      SELECT FROM pg_locks x JOIN pg_locks l USING (virtualtransaction)
      WHERE x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.pid IS NULL AND l.pid IS NULL AND (
        (l.classid = 'pg_authid'::regclass AND l.objid = ${oid})
        OR (l.relation IN ('pg_authid'::regclass, 'pg_auth_members'::regclass) AND l.mode = 'RowExclusiveLock'
          AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = p.owner)))) AS it) touches
    WHERE touches.it OR p.owner = ${literal(owner ?? '')}`
}

/** @returns how many were rolled back, and what stays because it may be somebody else's */
export async function rollBackPrepared(
  cleaning: Cleaning,
): Promise<{ count: number; kept: string[] }> {
  const rows = await cleaning.run(preparedSql(cleaning))
  const found = parse(v.array(Prepared), rows[0]?.prepared, {
    what: 'prepared transactions',
    code: 'target_refused',
  })
  const certain = found.filter((one) => one.certain)
  for (const { gid, database, owner } of certain) {
    await cleaning.inDatabase(database, async (run) => {
      await actAs({ ...cleaning, run }, owner, async () => {
        if (!cleaning.facts.superuser) await run(`SET ROLE ${identifier(owner)}`)
        await run(`ROLLBACK PREPARED ${literal(gid)}`)
        await run('RESET ROLE')
      })
    })
  }
  return { count: certain.length, kept: found.filter((one) => !one.certain).map(({ gid }) => gid) }
}
