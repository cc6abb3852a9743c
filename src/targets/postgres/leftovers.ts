import * as v from 'valibot'
import { parse } from '../../protocol/parse.ts'
import { actAs, type Cleaning } from './cleaning.ts'
import type { Run } from './connection.ts'
import { block, identifier } from './sql.ts'

const Databases = v.array(v.nullable(v.string()))

/**
 * Gives what the lease's role itself owns to the task's owner and drops the rest, in every database. Never to the
 * administrator: a SECURITY DEFINER function would rise with it.
 * @throws JitError when something is in the way; the role stays, closed
 */
export async function clearLeftovers(cleaning: Cleaning): Promise<void> {
  const rows =
    await cleaning.run(`SELECT coalesce(json_agg(DISTINCT coalesce(datname, current_database())), '[]') AS databases
    FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = ${cleaning.oid}`)
  const databases = parse(Databases, rows[0]?.databases, {
    what: 'leftovers',
    code: 'target_refused',
  })
  for (const database of databases) {
    if (database === null) continue
    await cleaning.inDatabase(database, (run) => clearDatabase(cleaning, run))
  }
}

async function clearDatabase(cleaning: Cleaning, run: Run): Promise<void> {
  const { handle, oid, owner } = cleaning
  const drop = `DROP OWNED BY ${identifier(handle)};`
  if (owner === undefined) {
    await run(drop)
    return
  }
  await actAs({ ...cleaning, run }, owner, async () => {
    await run(
      `${dropCode(oid)} REASSIGN OWNED BY ${identifier(handle)} TO ${identifier(owner)}; ${drop}`,
    )
  })
}

/**
 * Data keeps its place; what can act is dropped, newest first. RESTRICT: what somebody else built on it is theirs, and
 * a person has to look.
 */
function dropCode(oid: number): string {
  return block(`
    DECLARE thing record;
    BEGIN
      FOR thing IN SELECT i.type, i.identity FROM pg_shdepend s
          JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database(),
          LATERAL pg_identify_object(s.classid, s.objid, 0) i
          WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ${oid} AND s.deptype = 'o'
            AND s.classid NOT IN ('pg_class'::regclass, 'pg_namespace'::regclass, 'pg_type'::regclass,
              'pg_largeobject'::regclass, 'pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
          ORDER BY s.objid DESC LOOP
        EXECUTE format('DROP %s IF EXISTS %s', thing.type, thing.identity);
      END LOOP;
    END`)
}
