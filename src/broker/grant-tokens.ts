import { SignJWT } from 'jose'
import type { SigningKey } from './keys.ts'

/** `typ` of grant tokens: never that of a session's. */
export const GRANT_TOKEN_TYPE = 'JWT'

/** Signs grant tokens as the issuer that clouds and APIs are told to trust. */
export function grantTokenSigner({
  issuer,
  key,
  now,
}: {
  issuer: string
  key: SigningKey
  /** Milliseconds since the epoch. */
  now: () => number
}): (claims: Readonly<Record<string, unknown>>) => Promise<string> {
  return (claims) =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ typ: GRANT_TOKEN_TYPE, alg: key.algorithm, kid: key.kid })
      .setIssuer(issuer)
      .setIssuedAt(Math.floor(now() / 1000))
      .sign(key.privateKey)
}
