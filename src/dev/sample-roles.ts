import { parsePostgresUrl } from '../targets/postgres/config.ts'
import { Connection } from '../targets/postgres/connection.ts'
import { block, identifier } from '../targets/postgres/sql.ts'

/** Two that start over one PostgreSQL would trip over each other's roles. */
const ONE_AT_A_TIME = 7420

/** Creates a role that can't log in, unless it is there. */
const role = (name: string) =>
  block(`BEGIN
  CREATE ROLE ${identifier(name)} NOLOGIN;
EXCEPTION WHEN duplicate_object THEN
  NULL;
END`)

/**
 * The roles behind the sample tasks: `migrator` owns what migrations make, `readonly` reads it.
 * Neither can log in: only leases may, beside the administrator.
 * @param adminUrl `postgres://…` of an administrator
 * @throws JitError `config_invalid`, `target_unreachable`, `target_refused`
 */
export async function prepareSampleRoles(adminUrl: string): Promise<void> {
  const admin = parsePostgresUrl(adminUrl, 'postgres')
  const connection = new Connection('postgres', admin)
  const database = identifier(admin.database)
  try {
    await connection.run(
      [
        `SELECT pg_advisory_xact_lock(${ONE_AT_A_TIME});`,
        role('readonly'),
        role('migrator'),
        `GRANT CREATE, CONNECT ON DATABASE ${database} TO migrator;`,
        `GRANT CONNECT ON DATABASE ${database} TO readonly;`,
        'GRANT USAGE, CREATE ON SCHEMA public TO migrator;',
        'GRANT USAGE ON SCHEMA public TO readonly;',
        'GRANT SELECT ON ALL TABLES IN SCHEMA public TO readonly;',
        'GRANT migrator TO CURRENT_USER;',
        'ALTER DEFAULT PRIVILEGES FOR ROLE migrator GRANT SELECT ON TABLES TO readonly;',
        'ALTER DEFAULT PRIVILEGES FOR ROLE migrator GRANT USAGE ON SCHEMAS TO readonly;',
      ].join('\n'),
      AbortSignal.timeout(10_000),
    )
  } finally {
    await connection.close()
  }
}
