/**
 * Proves who asks: the session's token and a fresh DPoP proof for one request (RFC 9449 section 7).
 * `auth` implements it; the client is handed one and never sees a key.
 */
export interface Authorizer {
  /**
   * Headers for one request: `Authorization: DPoP …` and `DPoP: …`.
   * @throws JitError `not_signed_in`, `session_ended`, `issuer_unreachable`
   */
  headers(request: { method: string; url: URL }): Promise<Record<string, string>>
}
