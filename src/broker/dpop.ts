import { createHash } from 'node:crypto'
import { calculateJwkThumbprint, decodeProtectedHeader, importJWK, type JWK, jwtVerify } from 'jose'
import * as v from 'valibot'
import { JitError } from '../lib/errors.ts'
import { parse } from '../protocol/parse.ts'

/** `dpop_signing_alg_values_supported`. No RSA: a proof brings its own key, and huge ones are slow to check. */
export const PROOF_ALGORITHMS = ['ES256', 'Ed25519', 'EdDSA', 'ES384'] as const

/**
 * Seconds that a proof's `iat` may be away from now: clocks a minute apart, and what a request takes on its way. Its
 * `jti` has to be remembered for twice that.
 */
export const PROOF_WINDOW_SECONDS = 75

/** A proof that holds, before its `jti` is looked up. */
export interface VerifiedProof {
  /** RFC 7638 thumbprint of the key, as in `cnf.jkt`. */
  readonly jkt: string
  readonly jti: string
  /** Seconds since the epoch. */
  readonly iat: number
}

export interface ProofToVerify {
  readonly proof: string
  readonly method: string
  /** The request's URL as clients write it. */
  readonly url: string
  /** The access token it came with, where there is one. */
  readonly accessToken?: string
  /** Milliseconds since the epoch. */
  readonly now: number
}

const MAX_LENGTH = 4096

// Strict: a private key (`d`, `k`, …) must never be sent, and an unknown member is not a public one.
const PublicKey = v.variant('kty', [
  v.object({
    kty: v.literal('EC'),
    crv: v.picklist(['P-256', 'P-384']),
    x: v.string(),
    y: v.string(),
  }),
  v.object({ kty: v.literal('OKP'), crv: v.literal('Ed25519'), x: v.string() }),
])
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

const Header = v.object({
  typ: v.literal('dpop+jwt', "expected 'dpop+jwt'"),
  alg: v.picklist(PROOF_ALGORITHMS, `expected ${PROOF_ALGORITHMS.join(', ')}`),
  jwk: v.pipe(
    v.looseObject({}, 'expected the public key'),
    v.check(
      (jwk) => !PRIVATE_MEMBERS.some((member) => member in jwk),
      'expected a public key: this one has private parts',
    ),
  ),
})

const Payload = v.object({
  jti: v.pipe(v.string(), v.minLength(1, 'too short'), v.maxLength(128, 'too long')),
  htm: v.string(),
  htu: v.pipe(v.string(), v.maxLength(2048)),
  iat: v.number(),
  ath: v.exactOptional(v.string()),
})

const WHAT = { what: 'dpop proof', code: 'proof_invalid' } as const

/**
 * Checks one proof (RFC 9449 section 4.3, all but the replay of its `jti`).
 * @throws JitError `proof_invalid`
 */
export async function verifyProof(input: ProofToVerify): Promise<VerifiedProof> {
  const { jwk, alg } = readHeader(input.proof)
  const payload = parse(Payload, await verifySignature(input, jwk, alg), WHAT)
  if (payload.htm !== input.method) throw invalid('htm: for another method')
  if (!sameTarget(payload.htu, input.url)) throw invalid('htu: for another URL')
  if (Math.abs(input.now / 1000 - payload.iat) > PROOF_WINDOW_SECONDS) {
    throw new JitError(
      'proof_invalid',
      `dpop proof: iat: more than ${PROOF_WINDOW_SECONDS} s from the time here`,
      {
        hint: "check this machine's clock",
      },
    )
  }
  if (input.accessToken !== undefined && payload.ath !== hashOf(input.accessToken)) {
    throw invalid('ath: for another access token')
  }
  return { jkt: await calculateJwkThumbprint(jwk), jti: payload.jti, iat: payload.iat }
}

function readHeader(proof: string): { jwk: JWK; alg: string } {
  if (proof.length > MAX_LENGTH) throw invalid('larger than 4 KiB')
  let header: unknown
  try {
    header = decodeProtectedHeader(proof)
  } catch (cause) {
    throw invalid('not a JWT', cause)
  }
  const { jwk, alg } = parse(Header, header, WHAT)
  const known = v.safeParse(PublicKey, jwk)
  if (!known.success) throw invalid('jwk: expected a public key of P-256, P-384 or Ed25519')
  return { jwk: known.output, alg }
}

async function verifySignature({ proof, now }: ProofToVerify, jwk: JWK, alg: string) {
  try {
    const key = await importJWK(jwk, alg)
    const options = { algorithms: [alg], typ: 'dpop+jwt', currentDate: new Date(now) }
    return (await jwtVerify(proof, key, options)).payload
  } catch (cause) {
    throw invalid('the signature does not fit', cause)
  }
}

/** Without query and fragment, after the normalisation of RFC 3986 (RFC 9449 section 4.3, 9). */
function sameTarget(claimed: string, actual: string): boolean {
  const [left, right] = [URL.parse(claimed), URL.parse(actual)]
  if (!left || !right || left.username || left.password) return false
  return left.origin !== 'null' && left.origin === right.origin && left.pathname === right.pathname
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}

function invalid(problem: string, cause?: unknown): JitError {
  return new JitError('proof_invalid', `dpop proof: ${problem}`, { cause })
}
