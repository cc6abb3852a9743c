import type { Upstream } from '../../../src/protocol/delivery.ts'
import type { DeliveredCredential } from '../../../src/protocol/lifeline.ts'
import { credential } from '../fake-broker.ts'

type Kind<K> = Extract<Upstream, { kind: K }>

/** A PostgreSQL lease as a broker delivers it to whoever opens the port. */
export function postgresCredential(
  upstream: Partial<Kind<'postgres'>> & { port: number },
  lease = 'l1',
): DeliveredCredential {
  const env = {
    PGHOST: '{{host}}',
    PGPORT: '{{port}}',
    PGUSER: '{{user}}',
    PGDATABASE: '{{database}}',
    PGSSLMODE: 'disable',
    DATABASE_URL: '{{url}}',
  }
  return {
    ...credential(env),
    lease,
    upstream: {
      kind: 'postgres',
      host: '127.0.0.1',
      database: 'postgres',
      user: LOGIN.user,
      password: LOGIN.password,
      sslmode: 'disable',
      ...upstream,
    },
  }
}

/** The role that stands for a lease's. */
export const LOGIN = { user: 'lease_of_test', password: 'canary-of-the-lease' }

export const LEASE_ROLE = `
  CREATE ROLE ${LOGIN.user} LOGIN PASSWORD '${LOGIN.password}';
  GRANT ALL ON SCHEMA public TO ${LOGIN.user};
`

/** A token for an API as a broker delivers it to whoever opens the port. */
export function tokenCredential(url: string, token: string, lease = 'l1'): DeliveredCredential {
  return {
    ...credential({ API_TOKEN: '{{token}}', API_URL: '{{url}}' }),
    lease,
    target: 'shop-api',
    type: 'token',
    upstream: { kind: 'http', url, token },
  }
}
