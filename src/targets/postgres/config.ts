import * as v from 'valibot'
import { JitError } from '../../lib/errors.ts'
import type { Schema } from '../../protocol/parse.ts'

/** Names longer than this are cut by PostgreSQL without an error. */
const MAX_NAME_BYTES = 63

const RoleName = v.pipe(
  v.string('expected the name of a role'),
  v.nonEmpty('expected the name of a role'),
  v.check(
    (name) => Buffer.byteLength(name) <= MAX_NAME_BYTES && !/\p{Cc}/u.test(name),
    'a role has a name of at most 63 bytes, without control characters',
  ),
)

const Task = v.pipe(
  v.strictObject({
    roles: v.pipe(v.array(RoleName), v.minLength(1, 'expected at least one role')),
    owner: v.optional(RoleName),
  }),
  v.check(
    ({ roles, owner }) => owner === undefined || roles.includes(owner),
    'owner must be one of roles',
  ),
)

/** What a task gets at the database: the roles it is a member of, and the one that owns what it makes. */
export interface TaskRoles {
  readonly roles: readonly string[]
  readonly owner?: string | undefined
}

/** A PostgreSQL target's own keys in `broker.yaml`. */
export interface PostgresConfig {
  /** A reference to the administrator's `postgres://` URL. */
  readonly admin: string
  /** `host:port` that clients connect to, where it isn't the administrator's. */
  readonly address?: string | undefined
  readonly tasks: Readonly<Record<string, TaskRoles>>
}

export const PostgresConfig: Schema<PostgresConfig> = v.strictObject({
  admin: v.pipe(v.string(), v.regex(/^(env|file):./, 'expected env:NAME or file:PATH')),
  address: v.optional(v.pipe(v.string(), v.regex(/^.+:\d{1,5}$/, 'expected host:port'))),
  tasks: v.record(v.string(), Task),
})

/** `sslmode` as libpq has it, save those that fall back to plain text without a word. */
type SslMode = 'disable' | 'require' | 'verify-ca' | 'verify-full'
const SSL_MODES: readonly string[] = ['disable', 'require', 'verify-ca', 'verify-full']

/** Where a database is and how it is reached. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly sslmode: SslMode
  /** The certificate authorities: a file, `system`, or what the reader has by default. */
  readonly sslrootcert: string | undefined
}

/** Who signs in there. */
export interface Admin extends Address {
  readonly user: string
  readonly password: string
}

/**
 * Reads a `postgres://` URL with its login.
 * @param what it is, for whoever has to mend it: `target shop-db: admin`
 * @throws JitError `config_invalid`, without the URL
 */
export function parsePostgresUrl(text: string, what: string): Admin {
  const url = URL.parse(text.trim())
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol) || !url.hostname || !url.username) {
    throw new JitError('config_invalid', `${what} is not a PostgreSQL URL`, {
      hint: 'it looks like postgres://user:password@host:5432/database?sslmode=verify-full',
    })
  }
  const host = decodeURIComponent(url.hostname).replace(/^\[|\]$/g, '')
  const user = decodeURIComponent(url.username)
  return {
    host,
    port: Number(url.port || 5432),
    user,
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)) || user,
    sslmode: sslMode(url.searchParams.get('sslmode'), { host, what }),
    sslrootcert: url.searchParams.get('sslrootcert') ?? undefined,
  }
}

/** Unsaid, it is plain on loopback and verified everywhere else. */
function sslMode(said: string | null, { host, what }: { host: string; what: string }): SslMode {
  if (said === null) return isLoopback(host) ? 'disable' : 'verify-full'
  if (SSL_MODES.includes(said)) return said as SslMode
  throw new JitError('config_invalid', `${what}: sslmode '${said}' is not supported`, {
    hint: `use one of ${SSL_MODES.join(', ')}`,
  })
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

/** Where clients connect: `address`, or where the administrator does. */
export function clientAddress(admin: Admin, address: string | undefined): Address {
  if (address === undefined) return admin
  const colon = address.lastIndexOf(':')
  return {
    ...admin,
    host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(colon + 1)),
  }
}
