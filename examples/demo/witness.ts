/**
 * Runs beside the work, in the demo's copy alone: logs in with the credential that the work was
 * given and keeps it, so that the very same login can be tried again when the work is over.
 */
import { writeFileSync } from 'node:fs'
import { attemptLogin } from './database-login.ts'

const { PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, JIT_DEMO_WITNESS } = process.env
if (!PGHOST || !PGDATABASE || !PGUSER || !PGPASSWORD || !JIT_DEMO_WITNESS) {
  throw new Error('the witness runs under `jit exec`, started by the demo')
}
const login = {
  host: PGHOST,
  port: Number(PGPORT),
  database: PGDATABASE,
  user: PGUSER,
  password: PGPASSWORD,
}
const attempt = await attemptLogin(login)
if (attempt.kind === 'refused') throw new Error(attempt.message)
writeFileSync(JIT_DEMO_WITNESS, JSON.stringify(login), { mode: 0o600 })
process.stdout.write(`witness: ${PGUSER} can log in\n`)
