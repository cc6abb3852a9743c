import { createHash } from 'node:crypto'
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { JitError } from '../lib/errors.ts'

/** What a token must be, beside well signed. */
export interface TokenRule {
  /** Absent where tokens name their issuer by their subject (JWT-SVID). */
  readonly issuer?: string
  /** Any of these. */
  readonly audience: readonly string[]
  /** What to say of a token that was made for nobody here. */
  readonly foreign: { readonly problem: string; readonly hint?: string }
  /** Seconds since `iat`. */
  readonly maxAge: number
  /** Lower-case values of `typ`; a token may do without. */
  readonly types: readonly string[]
  readonly keys: JWTVerifyGetKey
  /** Milliseconds since the epoch. */
  readonly now: number
}

// Asymmetric ones only: with HS256 a provider's public key would do as the secret.
export const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]
export const LEEWAY_SECONDS = 10

/**
 * The claims of a signed token.
 * @throws JitError `token_invalid`; `issuer_unreachable` when the keys can't be had
 */
export async function verifyToken(token: string, rule: TokenRule): Promise<JWTPayload> {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, rule.keys, {
      algorithms: ALGORITHMS,
      ...(rule.issuer === undefined ? {} : { issuer: rule.issuer }),
      audience: [...rule.audience],
      maxTokenAge: rule.maxAge,
      clockTolerance: LEEWAY_SECONDS,
      currentDate: new Date(rule.now),
      requiredClaims: ['sub', 'exp'],
    })
    // Access and logout tokens of the same issuer say what they are (RFC 9068, RFC 8725 section 3.11).
    const typ = protectedHeader.typ?.toLowerCase()
    if (typ !== undefined && !rule.types.includes(typ)) {
      throw invalid('not an identity token by its typ')
    }
    return payload
  } catch (cause) {
    throw cause instanceof JitError ? cause : refusal(cause, rule)
  }
}

function refusal(cause: unknown, rule: TokenRule): JitError {
  if (cause instanceof errors.JWTClaimValidationFailed && cause.claim === 'aud') {
    const { problem, hint } = rule.foreign
    return invalid(problem, { cause, ...(hint === undefined ? {} : { hint }) })
  }
  return invalid(explain(cause, rule), { cause })
}

/** A few words that tell what was wrong and quote nothing of the token. */
function explain(error: unknown, { maxAge }: TokenRule): string {
  if (error instanceof errors.JWTExpired) {
    const age = maxAge % 60 === 0 ? `${maxAge / 60} minutes` : `${maxAge} seconds`
    return error.claim === 'iat' ? `issued more than ${age} ago` : 'expired'
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'iat') return 'iat: missing, or in the future'
    return `${error.claim}: missing, or not what was expected`
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return 'signed with an algorithm not accepted'
  if (error instanceof errors.JWKSNoMatchingKey) return 'signed with a key the issuer does not list'
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'the signature does not fit'
  return 'not a signed JWT that can be verified'
}

/**
 * SHA-256 (hex) of what was signed. The signature stays out: it can often be rewritten into another
 * valid one (ECDSA, base64url).
 */
export function hashOf(token: string): string {
  return createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('hex')
}

export function invalid(
  problem: string,
  options: { hint?: string; cause?: unknown } = {},
): JitError {
  return new JitError('token_invalid', `identity token: ${problem}`, options)
}
