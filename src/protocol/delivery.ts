import * as v from 'valibot'
import { text } from './values.ts'

/** How a credential reaches what uses it: in its environment, or not at all, by a proxy that holds it. */
export const DELIVERIES = ['env', 'proxy'] as const
export const Delivery = v.picklist(DELIVERIES, `expected ${DELIVERIES.join(' or ')}`)
export type Delivery = v.InferOutput<typeof Delivery>

/** By the names of targets. */
export type Deliveries = Readonly<Record<string, Delivery>>

/** `sslmode` of libpq, without those that would fall back to no TLS by themselves. */
const SslMode = v.picklist(['disable', 'require', 'verify-ca', 'verify-full'])

const Port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))

/**
 * Where a proxy goes with a credential that is delivered through it. For whoever runs the proxy alone:
 * never handed to a child, never stored, never logged.
 */
export const Upstream = v.variant('kind', [
  v.object({
    kind: v.literal('postgres'),
    host: text(255),
    port: Port,
    database: text(63),
    user: text(63),
    password: text(1024),
    sslmode: SslMode,
    /** PEM of the authorities that the server's certificate is checked against; absent: the system's. */
    ca: v.exactOptional(v.string()),
  }),
  v.object({
    kind: v.literal('http'),
    /** Of the API: the credential goes to this host and port alone. `https:`, or `http:` on loopback. */
    url: text(2048),
    token: text(64 * 1024),
  }),
])
export type Upstream = v.InferOutput<typeof Upstream>
