/** What `pg` signs in with itself: SCRAM-SHA-256 and its -PLUS (RFC 5802, RFC 7677), for which it has no types. */
declare module 'pg/lib/crypto/sasl' {
  import type { TLSSocket } from 'node:tls'

  export interface SaslSession {
    readonly mechanism: string
    /** What the client sends next. */
    readonly response: string
  }

  /** @throws Error when no mechanism is one of ours */
  export function startSession(mechanisms: readonly string[], stream: TLSSocket | null): SaslSession
  export function continueSession(
    session: SaslSession,
    password: string,
    serverData: string,
    stream: TLSSocket | null,
  ): Promise<void>
  /** @throws Error when the server does not know the password either */
  export function finalizeSession(session: SaslSession, serverData: string): void
}
