import * as v from 'valibot'
import { Duration, durationUpTo, Flag, list, map, mapOf, Text } from '../../lib/document-schema.ts'
import { SENSITIVITIES } from '../../policy/vocabulary.ts'
import { Name, VariableName } from '../../protocol/values.ts'
import { parseNetwork } from '../client-address.ts'
import { IDENTITY_KEYS } from './identity.ts'
import { Acr, Count, HookUrl, Host, isReference, Reference, ServiceUrl } from './values.ts'

const LISTEN = 'expected HOST:PORT, such as 127.0.0.1:7420'

const Listen = v.pipe(
  v.string(LISTEN),
  v.regex(/^(?:\[[0-9a-fA-F:]{2,45}\]|[A-Za-z0-9.-]{1,253}):[0-9]{1,5}$/, LISTEN),
  v.transform((text) => {
    const colon = text.lastIndexOf(':')
    const host = text.slice(0, colon).replace(/^\[|\]$/g, '')
    return { host, port: Number(text.slice(colon + 1)) }
  }),
  v.check(({ port }) => port <= 65_535, LISTEN),
)

const PROXY = 'expected the address of a proxy, or its network as 10.0.0.0/8, and not everybody'

const TrustedProxy = v.pipe(
  v.string(PROXY),
  v.check((text) => parseNetwork(text) !== undefined, PROXY),
)

const STORE = 'expected sqlite:PATH, or postgres: env:NAME, file:PATH, or a URL without a password'

const Store = v.pipe(
  v.string(STORE),
  v.check(
    (text) =>
      /^(?:sqlite:[^?#]{1,1024}|postgres(?:ql)?:\/\/.{1,1024})$/.test(text) || isReference(text),
    STORE,
  ),
)

/** A list that doesn't grow without bounds. */
const atMost = <const List extends v.GenericSchema<unknown, readonly string[]>>(
  most: number,
  of: List,
) =>
  v.pipe(
    of,
    v.check((entries) => entries.length <= most, `expected at most ${most}`),
  )

const SEAL_KEYS =
  'expected a reference, env:NAME or file:PATH, never the value itself; or a list of them, the newest first'

/** What seals, first, and what else opens. */
const SealKeys = v.union(
  [
    v.pipe(
      Reference,
      v.transform((reference) => [reference]),
    ),
    v.pipe(atMost(4, list(Reference)), v.minLength(1, SEAL_KEYS)),
  ],
  SEAL_KEYS,
)

/** Where a commit can be looked up. */
const Forge = map({
  type: v.literal('github', "expected 'github'"),
  url: v.optional(ServiceUrl, 'https://api.github.com'),
  token: v.optional(Reference),
  hosts: v.optional(list(Host), ['github.com']),
  timeout: v.optional(Duration, '2s'),
})

/** Who may push security events, as written. */
const Transmitter = map({
  issuer: ServiceUrl,
  audience: v.optional(Text),
  jwks_uri: v.optional(ServiceUrl),
  identity: v.optional(ServiceUrl),
})

const TOLD = 'expected pending or break_glass'

/** A webhook that approvers are told through, as written. */
const Hook = map({
  url: HookUrl,
  secret: Reference,
  on: v.optional(
    v.pipe(
      list(v.picklist(['pending', 'break_glass'], TOLD)),
      v.minLength(1, 'expected at least one: pending, break_glass'),
    ),
    ['pending', 'break_glass'],
  ),
  groups: v.exactOptional(v.pipe(list(Name), v.minLength(1, 'expected at least one group'))),
})

/** Keys that every kind of target has; the rest belongs to its kind. */
export const TARGET_KEYS = {
  environment: Name,
  type: v.string('expected a kind of target'),
  sensitivity: v.picklist(SENSITIVITIES, `expected ${SENSITIVITIES.join(', ')}`),
  ttl: v.optional(map({ default: v.optional(Duration), max: v.optional(Duration) }), {}),
  env: v.optional(mapOf(VariableName, Text), {}),
}

const Task = map({
  on_context_change: v.optional(
    v.picklist(['revoke', 'renewal'], "expected 'revoke' or 'renewal'"),
    'revoke',
  ),
})

/** Where its metrics are fetched, and with what. */
const Metrics = map({ listen: v.exactOptional(Listen), token: v.exactOptional(Reference) })

const ROTATE = "expected a duration like 90d, at most 400d, or 'never'"

const Rotate = v.union([v.literal('never'), durationUpTo(400 * 86_400, ROTATE)], ROTATE)

const LABEL = 'expected string, bool or long'

/** `broker.yaml`, kinds of targets aside. Durations come out as seconds. */
export const BrokerFile = map({
  url: ServiceUrl,
  grants: v.optional(map({ issuer: ServiceUrl })),
  listen: v.optional(Listen, '127.0.0.1:7420'),
  trusted_proxies: v.optional(list(TrustedProxy), []),
  store: Store,
  seal_key: v.optional(SealKeys),
  keys: v.optional(
    map({ rotate: v.optional(Rotate, '90d'), publish: v.optional(Duration, '1d') }),
    {},
  ),
  policies: Text,
  identity: v.pipe(
    list(v.looseObject(IDENTITY_KEYS)),
    v.minLength(1, 'expected at least one identity provider'),
  ),
  forge: v.optional(Forge),
  groups: v.optional(list(Name), []),
  // Each is one more "what if" of a denial.
  approvers: v.optional(atMost(8, list(Name)), []),
  approval: v.optional(
    map({
      lapse: v.optional(Duration, '30m'),
      renewable_for: v.optional(Duration, '1h'),
    }),
    {},
  ),
  acr: v.optional(atMost(4, list(Acr)), []),
  tasks: mapOf(Name, v.nullish(Task)),
  environments: mapOf(Name, map({ tier: Name })),
  labels: v.optional(mapOf(Name, v.picklist(['string', 'bool', 'long'], LABEL)), {}),
  targets: v.optional(mapOf(Name, v.looseObject(TARGET_KEYS)), {}),
  events: v.optional(list(Transmitter), []),
  notify: v.optional(mapOf(Name, Hook), {}),
  tls: v.optional(map({ cert: Text, key: Text })),
  dangerously_allow_plain_http: v.optional(Flag, false),
  metrics: v.optional(Metrics),
  limits: v.optional(
    map({
      grants_per_principal: v.optional(Count(10_000), 20),
      agent_waiting: v.optional(Count(1000), 5),
      agent_asks: v.optional(Count(10_000), 20),
      agent_cooldown: v.optional(Duration, '5m'),
      requests_per_principal: v.optional(Count(1_000_000), 3000),
      requests_per_address: v.optional(Count(1_000_000), 1200),
      connections: v.optional(Count(100_000), 5000),
      connections_per_address: v.optional(Count(100_000), 1000),
    }),
    {},
  ),
  lifeline: v.optional(
    map({ grace: v.optional(Duration, '10s'), suspend_grace: v.optional(Duration, '10m') }),
    {},
  ),
  session: v.optional(
    map({
      token_ttl: v.optional(Duration, '15m'),
      idle: v.optional(Duration, '30m'),
      max_age: v.optional(Duration, '12h'),
      delegated_max_age: v.optional(Duration, '2h'),
    }),
    {},
  ),
})
export type BrokerFile = v.InferOutput<typeof BrokerFile>
