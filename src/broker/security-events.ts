import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import * as v from 'valibot'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { parse } from '../protocol/parse.ts'
import { whole } from '../protocol/values.ts'
import type { TransmitterConfig } from './config/config.ts'
import { issuerKey } from './config/values.ts'
import { encodeSubject } from './identity-claims.ts'
import { ALGORITHMS, LEEWAY_SECONDS } from './identity-token.ts'
import { createKeyset } from './keyset.ts'

/** Why a transmitter's event isn't taken (RFC 8935 section 2.4). */
export interface Refusal {
  readonly kind: 'refused'
  readonly err:
    | 'invalid_request'
    | 'invalid_key'
    | 'invalid_issuer'
    | 'invalid_audience'
    | 'access_denied'
  readonly description: string
}

/** A security event token (RFC 8417) that is well signed and meant for this broker. */
export type Received =
  | Refusal
  /** It asks for nothing that is done here. */
  | { readonly kind: 'no-effect'; readonly issuer: string; readonly types: readonly string[] }
  | {
      readonly kind: 'cut-off'
      readonly issuer: string
      /** Known once, it is of no effect again. */
      readonly jti: string
      /** What it says happened: `session-revoked`, `credential-change`. */
      readonly signals: readonly string[]
      readonly principalId: string
      /** Until when sign-ins count no more, in milliseconds since the epoch; absent: until now. */
      readonly until?: number
    }

export interface SecurityEvents {
  /** @throws JitError `issuer_unreachable` when the transmitter's keys can't be had: it may try again */
  receive(token: string): Promise<Received>
}

interface Transmitter {
  readonly config: TransmitterConfig
  readonly keys: JWTVerifyGetKey
}

/** OpenID CAEP 1.0 sections 3.1 and 3.3. */
const SIGNALS: Readonly<Record<string, string>> = {
  'https://schemas.openid.net/secevent/caep/event-type/session-revoked': 'session-revoked',
  'https://schemas.openid.net/secevent/caep/event-type/credential-change': 'credential-change',
}

/** How long a transmitter may try to deliver one; its `jti` is known for longer. */
const MAX_AGE_SECONDS = 7 * 86_400
export const EVENT_REMEMBERED_MS = (MAX_AGE_SECONDS + 86_400) * 1000

const Envelope = v.object({
  jti: v.pipe(v.string(), v.minLength(1), v.maxLength(256), whole),
  events: v.pipe(
    v.record(v.pipe(v.string(), v.maxLength(512)), v.unknown()),
    v.check((events) => Object.keys(events).length > 0, 'expected an event'),
    v.check((events) => Object.keys(events).length <= 16, 'expected at most 16 events'),
  ),
})

const IssSub = v.object({
  format: v.literal('iss_sub', "expected the format 'iss_sub'"),
  iss: v.pipe(v.string(), v.maxLength(1024)),
  sub: v.pipe(v.string(), v.regex(/^[\x20-\x7e]{1,255}$/, 'expected 1 to 255 ASCII characters')),
})
/** RFC 9493 section 3.2.4; OpenID Shared Signals Framework 1.0, "Complex Subject Members". */
const Subject = v.union(
  [IssSub, v.object({ format: v.literal('complex'), user: IssSub })],
  "expected a subject of format 'iss_sub', or 'complex' with such a user",
)

const Event = v.object({
  /** Seconds since the epoch. */
  event_timestamp: v.exactOptional(v.pipe(v.number(), v.finite(), v.minValue(0))),
})

/** The transmitters of `events:`. Nothing is fetched until one of them sends something. */
export function createSecurityEvents({
  transmitters,
  clock,
  fetch = globalThis.fetch,
}: {
  readonly transmitters: readonly TransmitterConfig[]
  readonly clock: Clock
  readonly fetch?: typeof globalThis.fetch
}): SecurityEvents {
  const byIssuer = new Map(
    transmitters.map((config): [string, Transmitter] => {
      const { issuer, jwksUri } = config
      const location = jwksUri === undefined ? {} : { location: jwksUri }
      return [issuer, { config, keys: createKeyset({ issuer, ...location, fetch, clock }) }]
    }),
  )
  return {
    async receive(token) {
      const transmitter = byIssuer.get(issuerOf(token))
      if (!transmitter) return refused('invalid_issuer', 'not a token of an issuer known here')
      const now = clock.now()
      const verified = await verify(token, { ...transmitter, now })
      if ('kind' in verified) return verified
      try {
        return read(verified.payload, { ...transmitter, now })
      } catch (thrown) {
        return refused('invalid_request', JitError.from(thrown).message)
      }
    },
  }
}

function issuerOf(token: string): string {
  try {
    return decodeJwt(token).iss ?? ''
  } catch {
    return ''
  }
}

async function verify(
  token: string,
  { config, keys, now }: Transmitter & { now: number },
): Promise<{ payload: JWTPayload } | Refusal> {
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: ALGORITHMS,
      issuer: config.issuer,
      audience: config.audience,
      // RFC 8417 section 2.3: so that no other token of this issuer can be taken for an event.
      typ: 'secevent+jwt',
      maxTokenAge: MAX_AGE_SECONDS,
      clockTolerance: LEEWAY_SECONDS,
      currentDate: new Date(now),
      requiredClaims: ['jti', 'iat', 'events'],
    })
    return { payload }
  } catch (thrown) {
    if (thrown instanceof JitError) throw thrown
    return explain(thrown)
  }
}

/** A few words that tell what was wrong and quote nothing of the token. */
function explain(error: unknown): Refusal {
  if (error instanceof errors.JWTExpired) return refused('invalid_request', 'too old')
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'aud') return refused('invalid_audience', 'addressed to somebody else')
    return refused('invalid_request', `${error.claim}: missing, or not what was expected`)
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return refused('invalid_key', 'signed with an algorithm not accepted')
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return refused('invalid_key', 'signed with a key that the issuer does not list')
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refused('invalid_key', 'the signature does not fit')
  }
  return refused('invalid_request', 'not a security event token that can be verified')
}

/** @throws JitError `request_invalid` */
function read(payload: JWTPayload, { config, now }: Transmitter & { now: number }): Received {
  const { issuer, identity } = config
  const { jti, events } = parse(Envelope, payload, { what: 'event' })
  const known = Object.entries(events).flatMap(([type, event]) => {
    const signal = Object.hasOwn(SIGNALS, type) ? SIGNALS[type] : undefined
    return signal === undefined ? [] : [{ signal, event }]
  })
  if (known.length === 0) return { kind: 'no-effect', issuer, types: Object.keys(events) }
  const subject = parse(Subject, payload.sub_id, { what: 'sub_id' })
  const { iss, sub } = subject.format === 'complex' ? subject.user : subject
  if (iss !== identity) return refused('access_denied', 'about somebody of another issuer')
  const times = known.map(
    ({ event }) => parse(Event, event, { what: 'event' }).event_timestamp ?? Infinity,
  )
  const at = Math.ceil(Math.max(...times) * 1000)
  return {
    kind: 'cut-off',
    issuer,
    jti,
    signals: known.map(({ signal }) => signal),
    principalId: `${issuerKey(iss)}/${encodeSubject(sub)}`,
    // What is to come is not over yet.
    ...(at <= now ? { until: at } : {}),
  }
}

function refused(err: Refusal['err'], description: string): Refusal {
  return { kind: 'refused', err, description }
}
