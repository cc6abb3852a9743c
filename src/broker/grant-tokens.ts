import { SignJWT } from 'jose'
import type { KeySource } from './key-ring.ts'

/** `typ` of grant tokens: never that of a session's. */
export const GRANT_TOKEN_TYPE = 'JWT'

/** Signs grant tokens as the issuer that clouds and APIs are told to trust. */
export function grantTokenSigner({
  issuer,
  keys,
  now,
}: {
  issuer: string
  keys: Pick<KeySource, 'signing'>
  /** Milliseconds since the epoch. */
  now: () => number
}): (claims: Readonly<Record<string, unknown>>) => Promise<string> {
  return (claims) => {
    const { algorithm: alg, kid, privateKey } = keys.signing()
    return new SignJWT({ ...claims })
      .setProtectedHeader({ typ: GRANT_TOKEN_TYPE, alg, kid })
      .setIssuer(issuer)
      .setIssuedAt(Math.floor(now() / 1000))
      .sign(privateKey)
  }
}
