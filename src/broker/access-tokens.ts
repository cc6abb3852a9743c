import { errors, jwtVerify, SignJWT } from 'jose'
import * as v from 'valibot'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { parse } from '../protocol/parse.ts'
import { type KeySource, verifyingWith } from './key-ring.ts'

/** What a session's token says. Times are seconds since the epoch. */
export interface AccessTokenClaims {
  /** The id of the principal, of an agent's owner. */
  readonly subject: string
  /** The agent's own id (RFC 8693 section 4.1). */
  readonly actor?: string
  readonly session: string
  readonly clientId: string
  /** Thumbprint of the key it is bound to (RFC 9449 section 6). */
  readonly jkt: string
  readonly id: string
  readonly issuedAt: number
  readonly expiresAt: number
}

export interface AccessTokens {
  issue(claims: AccessTokenClaims): Promise<string>
  /**
   * @param options.expired take one whose time is over as well, to know whose it was
   * @throws JitError `token_invalid`
   */
  verify(token: string, options?: { expired: boolean }): Promise<AccessTokenClaims>
}

// Grant tokens are of another typ, issuer and key: neither passes for the other (RFC 8725 section 3.11).
const TYP = 'at+jwt'
const MAX_LENGTH = 8192

const Payload = v.object({
  sub: v.string(),
  act: v.exactOptional(v.object({ sub: v.string() })),
  sid: v.string(),
  client_id: v.string(),
  jti: v.string(),
  iat: v.number(),
  exp: v.number(),
  cnf: v.object({ jkt: v.string() }),
})

/**
 * Session tokens of this broker (RFC 9068), for itself alone.
 * @param options `issuer`: the broker's URL, their audience too
 */
export function createAccessTokens({
  issuer,
  keys,
  clock,
}: {
  readonly issuer: string
  readonly keys: KeySource
  readonly clock: Clock
}): AccessTokens {
  return {
    issue: ({ subject, actor, session, clientId, jkt, id, issuedAt, expiresAt }) => {
      const { algorithm: alg, kid, privateKey } = keys.signing()
      return new SignJWT({
        ...(actor === undefined ? {} : { act: { sub: actor } }),
        ...{ sid: session, client_id: clientId, cnf: { jkt } },
      })
        .setProtectedHeader({ typ: TYP, alg, kid })
        .setIssuer(issuer)
        .setAudience(issuer)
        .setSubject(subject)
        .setJti(id)
        .setIssuedAt(issuedAt)
        .setExpirationTime(expiresAt)
        .sign(privateKey)
    },
    verify: async (token, { expired } = { expired: false }) => {
      if (token.length > MAX_LENGTH) throw invalid('larger than 8 KiB')
      try {
        const options = {
          ...{ issuer, audience: issuer, typ: TYP, currentDate: new Date(clock.now()) },
          ...(expired ? { clockTolerance: Number.MAX_SAFE_INTEGER } : {}),
        }
        const algorithms = [keys.algorithm]
        const { payload } = await jwtVerify(token, verifyingWith(keys), { ...options, algorithms })
        return readPayload(payload)
      } catch (cause) {
        if (cause instanceof JitError) throw cause
        throw invalid(
          cause instanceof errors.JWTExpired ? 'expired' : 'not one of this broker',
          cause,
        )
      }
    },
  }
}

function readPayload(payload: unknown): AccessTokenClaims {
  const claims = parse(Payload, payload, { what: 'access token', code: 'token_invalid' })
  return {
    subject: claims.sub,
    ...(claims.act === undefined ? {} : { actor: claims.act.sub }),
    session: claims.sid,
    clientId: claims.client_id,
    jkt: claims.cnf.jkt,
    id: claims.jti,
    issuedAt: claims.iat,
    expiresAt: claims.exp,
  }
}

function invalid(problem: string, cause?: unknown): JitError {
  return new JitError('token_invalid', `access token: ${problem}`, { cause })
}
