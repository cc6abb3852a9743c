import type { JWTPayload } from 'jose'
import * as v from 'valibot'
import { escapeForDisplay } from '../lib/escape.ts'
import { parse } from '../protocol/parse.ts'
import { whole } from '../protocol/values.ts'
import type { IdentityConfig } from './config/config.ts'
import { issuerKey } from './config/values.ts'

/** What an identity token says of the person. Times are seconds since the epoch. */
export interface IdentityClaims {
  /** Unique over issuers: `<issuer host and path>/<sub>`, the sub percent-encoded. */
  readonly id: string
  readonly subject: string
  /** For people to read; never decided upon. */
  readonly name: string
  /** Absent where the token carries none: providers leave them out when refreshing. */
  readonly groups?: readonly string[]
  /** At the forge; `""` where a provider that should say it doesn't. */
  readonly account?: string
  /** When the person really signed in. */
  readonly authTime?: number
  readonly acr?: string
  readonly amr?: readonly string[]
  /** What the client asked the token to carry. */
  readonly nonce?: string
  readonly issuedAt: number
  readonly expiresAt: number
}

const Time = v.pipe(v.number('expected seconds'), v.safeInteger('expected whole seconds'))
const Word = v.pipe(
  v.string('expected text'),
  v.maxLength(256, 'expected at most 256 characters'),
  whole,
)
const Words = v.pipe(
  v.array(Word, 'expected a list of texts'),
  v.maxLength(1000, 'expected at most 1000 entries'),
)
// OpenID Connect Core 1.0 section 2: at most 255 ASCII characters.
const Subject = v.pipe(
  v.string('expected text'),
  v.regex(/^[\x20-\x7e]{1,255}$/, 'expected 1 to 255 ASCII characters'),
)

const Claims = v.object({
  sub: Subject,
  iat: Time,
  exp: Time,
  auth_time: v.exactOptional(v.pipe(Time, v.minValue(0, 'expected seconds since the epoch'))),
  acr: v.exactOptional(Word),
  amr: v.exactOptional(Words),
  nonce: v.exactOptional(Word),
  groups: v.exactOptional(Words),
  account: v.exactOptional(Word),
})

/**
 * The claims of a verified payload.
 * @param latest seconds since the epoch that no sign-in can be after
 * @throws JitError `token_invalid`: a claim of the wrong type or size
 */
export function readClaims(
  payload: JWTPayload,
  { issuer, groupsClaim, accountClaim }: IdentityConfig,
  latest: number,
): IdentityClaims {
  const { sub, iat, exp, auth_time, acr, amr, nonce } = payload
  const groups = own(payload, groupsClaim)
  const account = accountClaim === undefined ? undefined : own(payload, accountClaim)
  const known = { sub, iat, exp, auth_time, acr, amr, nonce, groups, account }
  const present = Object.fromEntries(
    Object.entries(known).filter(([, value]) => value !== undefined),
  )
  const schema = v.pipe(
    Claims,
    v.check((claims) => (claims.auth_time ?? 0) <= latest, 'auth_time is in the future'),
  )
  const claims = parse(schema, present, { what: 'identity token', code: 'token_invalid' })
  return {
    id: `${issuerKey(issuer)}/${encodeSubject(claims.sub)}`,
    subject: claims.sub,
    name: nameOf(payload, claims.sub),
    ...(accountClaim === undefined ? {} : { account: claims.account ?? '' }),
    ...(claims.groups ? { groups: [...new Set(claims.groups)] } : {}),
    ...(claims.auth_time === undefined ? {} : { authTime: claims.auth_time }),
    ...(claims.acr === undefined ? {} : { acr: claims.acr }),
    ...(claims.amr === undefined ? {} : { amr: claims.amr }),
    ...(claims.nonce === undefined ? {} : { nonce: claims.nonce }),
    issuedAt: claims.iat,
    expiresAt: claims.exp,
  }
}

function own(payload: JWTPayload, claim: string): unknown {
  return Object.hasOwn(payload, claim) ? payload[claim] : undefined
}

/** A slash in a sub would let one issuer's people take ids under another's path. */
export function encodeSubject(subject: string): string {
  return subject.replace(/[^A-Za-z0-9._~@|:+=-]/g, encodeURIComponent)
}

function nameOf({ preferred_username, email, name }: JWTPayload, subject: string): string {
  const chosen = [preferred_username, email, name].find(
    (candidate) => typeof candidate === 'string' && candidate.trim() !== '',
  )
  const shown = escapeForDisplay(typeof chosen === 'string' ? chosen.slice(0, 256) : subject)
  // Cut in the middle of a character, it could not be recorded.
  return shown.slice(0, 256).toWellFormed()
}
