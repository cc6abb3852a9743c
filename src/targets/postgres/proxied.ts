import { readFile } from 'node:fs/promises'
import { JitError } from '../../lib/errors.ts'
import type { Credential } from '../target.ts'
import type { Address } from './config.ts'

/** Of the certificates that go along with a credential: they share a message (`MAX_MESSAGE_BYTES`) with the rest. */
const MAX_CA_BYTES = 192 * 1024

/** What libpq reads, for the proxy's port to be filled in. */
const ENV = {
  PGHOST: '{{host}}',
  PGPORT: '{{port}}',
  PGUSER: '{{user}}',
  PGDATABASE: '{{database}}',
  PGSSLMODE: 'disable',
}

/**
 * A role's login for a proxy that signs in with it. Inside, there is no password and no TLS.
 * @throws JitError `config_invalid` when the certificates of `sslrootcert` can't be read or are too many
 */
export async function proxiedCredential(
  address: Address,
  { user, password, target }: { user: string; password: string; target: string },
): Promise<Omit<Credential, 'unset'>> {
  const { host, port, database, sslmode } = address
  const ca = await authorities(address, target)
  const where = { kind: 'postgres', host, port, database, sslmode } as const
  return {
    values: { password: '', sslmode: 'disable' },
    env: ENV,
    upstream: { ...where, user, password, ...(ca === undefined ? {} : { ca }) },
  }
}

/** Of `sslrootcert`, where certificates are checked; `undefined`: the proxy's own system knows them. */
async function authorities(
  { sslmode, sslrootcert }: Address,
  target: string,
): Promise<string | undefined> {
  const checked = sslmode === 'verify-ca' || sslmode === 'verify-full'
  if (!checked || sslrootcert === undefined || sslrootcert === 'system') return undefined
  const pem = await readFile(sslrootcert, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const message = `target ${target}: sslrootcert can't be read (${cause.code ?? 'unknown error'})`
    throw new JitError('config_invalid', message, { cause })
  })
  if (Buffer.byteLength(pem) <= MAX_CA_BYTES) return pem
  throw new JitError('config_invalid', `target ${target}: sslrootcert has too many certificates`, {
    hint: 'a proxy takes at most 192 KiB: name a file with those of this server alone',
  })
}
