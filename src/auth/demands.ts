import * as v from 'valibot'
import { JitError } from '../lib/errors.ts'
import { parseJson } from '../protocol/parse.ts'
import { CLOCK_TOLERANCE } from './provider.ts'

/** What a sign-in has to be, beside one at all (OpenID Connect Core 1.0 section 3.1.2.1). */
export interface SignInDemands {
  /** Seconds since the person really signed in, at most; 0: they sign in now. */
  readonly maxAge?: number
  /** One of these authentication contexts; none named: any. */
  readonly acrValues?: readonly string[]
  /** To be carried into the identity token, where the flow carries it. */
  readonly nonce?: string
}

/** The demands as a provider is asked for them. */
export function demandParameters({ maxAge, acrValues, nonce }: SignInDemands) {
  return {
    ...(maxAge === undefined ? {} : { max_age: String(maxAge) }),
    ...(acrValues?.length ? { acr_values: acrValues.join(' ') } : {}),
    ...(nonce === undefined ? {} : { nonce }),
  }
}

/** Of an identity token that came over a direct connection: the broker is who verifies it. */
const Claims = v.object({
  auth_time: v.exactOptional(v.number()),
  acr: v.exactOptional(v.string()),
  nonce: v.exactOptional(v.string()),
})

/**
 * Whether a provider did what was asked of it: it may leave out `max_age` in the device flow, and
 * `acr_values` are a wish only (section 5.5.1.1).
 * @param startedAt milliseconds since the epoch: when the sign-in began
 * @throws JitError `sign_in_failed`: what it left out
 */
export function requireMet(
  idToken: string,
  { demands, startedAt }: { demands: SignInDemands; startedAt: number },
): void {
  if (Object.keys(demands).length === 0) return
  const payload = Buffer.from(idToken.split('.')[1] ?? '', 'base64url').toString()
  const { auth_time, acr, nonce } = parseJson(Claims, payload, {
    what: 'identity token',
    code: 'sign_in_failed',
  })
  const { maxAge, acrValues = [] } = demands
  if (maxAge !== undefined) requireFresh(auth_time, startedAt / 1000 - maxAge)
  if (acrValues.length > 0 && !acrValues.includes(acr ?? '')) throw notStronger(acrValues)
  // A device flow knows no nonce (RFC 8628), and most providers leave it out there.
  if (demands.nonce !== undefined && nonce !== undefined && nonce !== demands.nonce) {
    throw new JitError('sign_in_failed', 'the identity token is of another sign-in (its nonce)')
  }
}

/** @param earliest seconds since the epoch */
function requireFresh(authTime: number | undefined, earliest: number): void {
  if (authTime === undefined) {
    throw new JitError('sign_in_failed', "the identity provider doesn't say when you signed in", {
      hint: 'its operator can have it put auth_time into identity tokens',
    })
  }
  if (authTime + CLOCK_TOLERANCE >= earliest) return
  throw new JitError('sign_in_failed', "the identity provider didn't ask you to sign in anew", {
    hint: 'some do it in the browser only: jit login --fresh --browser',
  })
}

function notStronger(acrValues: readonly string[]): JitError {
  const wanted = acrValues.join(' or ')
  return new JitError('sign_in_failed', `the identity provider didn't sign you in with ${wanted}`, {
    hint: 'the account may lack a second factor; otherwise ask whoever runs the provider',
  })
}
