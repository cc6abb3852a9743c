import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { asOrdinaryUser, dyingWithParent } from './postgres.ts'

/** PgBouncer in front of a PostgreSQL: a server connection is a client's for one transaction only. */
export async function startPgBouncer(server: string): Promise<AsyncDisposable & { port: number }> {
  const { hostname, port: serverPort, username, password } = new URL(server)
  const folder = mkdtempSync(join(tmpdir(), 'jit-pgbouncer-'))
  const port = await freePort()
  writeFileSync(join(folder, 'users'), `"${username}" "${password}"\n`, { mode: 0o600 })
  const settings = `[databases]
* = host=${hostname} port=${serverPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, 'users')}
pool_mode = transaction
default_pool_size = 4
`
  writeFileSync(join(folder, 'pgbouncer.ini'), settings, { mode: 0o600 })
  const starting = dyingWithParent('/usr/sbin/pgbouncer', [join(folder, 'pgbouncer.ini')])
  const child = spawn(...asOrdinaryUser(...starting), { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'exit')
  let log = ''
  for await (const chunk of child.stderr) {
    log += String(chunk)
    if (log.includes('process up')) break
  }
  if (!log.includes('process up')) throw new Error(`pgbouncer did not start: ${log}`)
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
