import type { VerifiedIdentity } from './identity.ts'
import type { SessionRow } from './store/schema.ts'

/** When and how whoever holds a session really signed in, and for what. */
type SignIn = Pick<SessionRow, 'authenticated_at' | 'acr' | 'amr' | 'nonce'>

/** The sign-in of an identity token. */
export function signInOf(identity: VerifiedIdentity): SignIn {
  return {
    authenticated_at: identity.authTime === undefined ? null : identity.authTime * 1000,
    acr: identity.acr ?? '',
    amr: JSON.stringify(identity.amr ?? []),
    nonce: identity.nonce ?? '',
  }
}

/**
 * The sign-in of a session once another identity token renewed it. An older one never takes the place
 * of a newer one, and what a renewed token leaves out of the same sign-in stays (OpenID Connect Core
 * 1.0 section 12.2: `nonce` mostly is left out).
 */
export function latestSignIn(held: SignIn, identity: VerifiedIdentity): SignIn {
  const said = signInOf(identity)
  if (said.authenticated_at === held.authenticated_at) {
    return {
      authenticated_at: held.authenticated_at,
      acr: identity.acr ?? held.acr,
      amr: identity.amr === undefined ? held.amr : said.amr,
      nonce: identity.nonce ?? held.nonce,
    }
  }
  if (said.authenticated_at === null) return onlySignIn(held)
  const newer = held.authenticated_at === null || said.authenticated_at > held.authenticated_at
  return newer ? said : onlySignIn(held)
}

function onlySignIn({ authenticated_at, acr, amr, nonce }: SignIn): SignIn {
  return { authenticated_at, acr, amr, nonce }
}
