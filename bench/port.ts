/** A PostgreSQL port in a process of its own, as `jit exec` is one: writes what a client needs, ends with its input. */
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { localPorts } from '../src/run/ports/local-ports.ts'

const { hostname, port, username, password, pathname } = new URL(
  process.env.BENCH_POSTGRES_URL ?? '',
)
const ports = localPorts({ folder: tmpdir() })
const { env } = await ports.deliver({
  lease: 'bench',
  target: 'bench',
  type: 'postgres',
  handle: 'bench',
  revocability: 'hard',
  expires_at: '',
  renewable: false,
  env: { PGHOST: '{{host}}', PGPORT: '{{port}}', PGUSER: '{{user}}', PGDATABASE: '{{database}}' },
  unset: [],
  upstream: {
    kind: 'postgres',
    host: hostname,
    port: Number(port),
    user: username,
    password,
    database: pathname.slice(1),
    sslmode: 'disable',
  },
})
process.stdout.write(`${JSON.stringify(env)}\n`)
process.stdin.resume()
await once(process.stdin, 'end')
await ports.close()
