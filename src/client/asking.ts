import type { JitError } from '../lib/errors.ts'
import type { ClientMessage, ServerMessage } from '../protocol/lifeline.ts'
import type { StepUp } from './sign-in-again.ts'

export type Requested = Extract<ServerMessage, { type: 'requested' }>
export type Pending = Extract<ServerMessage, { type: 'pending' }>
export type Approved = Extract<ServerMessage, { type: 'approved' }>
export type Granted = Extract<ServerMessage, { type: 'granted' }>

/** What asks for a grant: a request, or the use of one that was made before. */
export type Opening = Extract<ClientMessage, { type: 'request' | 'redeem' }>

/** What is told until a grant is there. Each may come again after a lost connection, but `requested`. */
export interface AskEvents {
  requested(requested: Requested): void
  pending(pending: Pending): void
  approved(approved: Approved): void
  /** The connection is gone; it is opened again, and the same asked. */
  lost(error: JitError): void
}

export interface Asking {
  readonly opening: Opening
  /** Leaves a request that waits for approval to itself. */
  readonly detach: boolean
  readonly events: AskEvents
  readonly stepUp: StepUp
  /** Its reason is what `Lifeline.ask` throws. */
  readonly signal: AbortSignal
}

/** The answer to a request. */
export type Asked =
  | { readonly kind: 'granted'; readonly granted: Granted }
  /** It waits without this connection. */
  | { readonly kind: 'detached'; readonly pending: Pending }
