import type { Delivery, Upstream } from '../protocol/delivery.ts'
import type { Revocability } from '../protocol/grant.ts'
import type { Schema } from '../protocol/parse.ts'
import type { Principal } from '../protocol/principal.ts'

/** What the ledger holds of a lease before its credential exists. Times are milliseconds since the epoch, by the store's clock. */
export interface LeaseIntent {
  /** The credential's name at the target: 32 of `[a-z0-9]`. */
  readonly handle: string
  /** The target must refuse to create it past this (checked by the target's own clock). */
  readonly mintBy: number
  /** The credential's deadline. */
  readonly expiresAt: number
  /** How it is to reach what uses it. */
  readonly delivery: Delivery
  readonly grant: {
    readonly id: string
    readonly principal: Principal
    readonly environment: string
    readonly task: string
    /** Signed context only, `""` where no issuer signed any. */
    readonly signed: {
      readonly repository: string
      readonly branch: string
      readonly commit: string
    }
  }
}

/**
 * A fresh credential: template values by name (`{{url}}`), the variables its tools read, and those they would prefer.
 * With an `upstream` it is for a proxy to use: the variables are templates that the proxy fills
 * (`DeliveredCredential.env`), and nothing but the `upstream` holds a secret.
 */
export interface Credential {
  /**
   * For `env:` templates of the target's configuration, by {@link TargetKind.valueNames}. With an
   * `upstream` only those that are the same whatever the proxy: the rest is left for it to fill.
   */
  readonly values: Readonly<Record<string, string>>
  /** The usual variables of the tools of this kind. */
  readonly env: Readonly<Record<string, string>>
  /** Where a proxy goes with it, for a lease that is delivered by one. */
  readonly upstream?: Upstream
  /** Competing variables that the child must not inherit. */
  readonly unset: readonly string[]
}

export interface Minted {
  readonly credential: Credential
  /** What revoking needs beside the handle (a token, an accessor): sealed by the ledger. */
  readonly undo?: string
  /** What identifies the credential at the target even when its name finds nothing (postgres: the role's OID). */
  readonly externalId?: string
}

/** A lease to be undone. */
export interface LeaseToRevoke {
  readonly handle: string
  readonly expiresAt: number
  /** Whether the mint was confirmed. Unconfirmed: absent counts as gone only past `mintBy` and a margin. */
  readonly confirmed: boolean
  readonly mintBy: number
  readonly undo?: string
  readonly externalId?: string
}

/**
 * What revoking achieved.
 * - `revoked`: the target refuses the credential, nothing opened with it is left. With `cleanup`, something
 *   harmless remains (a role that can't be dropped yet): call again.
 * - `ends_at`: it can't be revoked; it stops working by itself then (milliseconds since the epoch).
 * - `unsettled`: nothing found, but a mint may still be in flight: look again after `mintBy` and a margin.
 */
export type RevocationOutcome =
  | { readonly kind: 'revoked'; readonly detail?: string; readonly cleanup?: string }
  | { readonly kind: 'ends_at'; readonly at: number; readonly detail: string }
  | { readonly kind: 'unsettled' }

/**
 * One system that credentials are minted at. All calls may throw `JitError` `target_unreachable` (worth
 * a retry) or `target_refused` (the target said no); none may leave a secret in the message.
 */
export interface Target {
  readonly name: string
  readonly type: string
  /** What {@link Target.revoke} truly achieves. */
  readonly revocability: Revocability
  /** How a crash between mint and record is found: the name, the sealed undo, or not at all. */
  readonly recoverable: 'by-name' | 'by-undo' | 'no'
  /** Tasks it is configured for. */
  readonly tasks: ReadonlySet<string>
  /** The variables its credentials set in a child, templates aside: two targets of one grant may not share any. */
  readonly variables: readonly string[]
  /** Those that a child must not inherit beside them ({@link Credential.unset}), known beforehand; absent: none. */
  unset?(delivery: Delivery): readonly string[]
  /** The roles or rights behind a task, as approvers are shown and approvals bind: `["migrator"]`. */
  rights(task: string): readonly string[]
  /** What it is really connected to: absence elsewhere is not "gone". */
  identity(signal: AbortSignal): Promise<string>
  /** Creates the credential under the lease's handle. */
  mint(lease: LeaseIntent, signal: AbortSignal): Promise<Minted>
  /**
   * Ends what is open with many leases at once and lets nothing new begin, as far as that goes without waiting for
   * anybody: each of them is revoked next, and that alone counts. Absent: nothing stays open, or there is no faster way.
   */
  disconnect?(leases: readonly LeaseToRevoke[], signal: AbortSignal): Promise<void>
  /** Undoes it; already gone is success. */
  revoke(lease: LeaseToRevoke, signal: AbortSignal): Promise<RevocationOutcome>
  /**
   * Moves the deadline of a live credential, where that works while a process holds it. One that is
   * being revoked, or was, is refused: a revocation always wins.
   * @param until milliseconds since the epoch; a deadline that was moved in vain may be moved back
   */
  extend?(
    lease: { readonly handle: string; readonly externalId?: string },
    until: number,
    signal: AbortSignal,
  ): Promise<void>
  /** This ledger's handles that exist at the target, for the sweep. */
  sweep?(handlePrefix: string, signal: AbortSignal): AsyncIterable<string>
  /**
   * When the target itself refuses the credential of a handle, and whether it does by now, by its own clock.
   * @returns nothing where it never does, or there is none
   */
  deadline?(
    handle: string,
    signal: AbortSignal,
  ): Promise<{ readonly at: number; readonly passed: boolean } | undefined>
  /** Whether its credential is a grant token itself, which dies with the key that signed it; absent: it isn't. */
  readonly isGrantToken?: true
  /** For kinds whose credentials others check by introspection (RFC 7662): who may ask, and about which audience. */
  readonly introspection?: { readonly audience: string; accepts(secret: string): boolean }
  /**
   * Does what a lease of each task takes, and takes it back before anybody could use it: whether the
   * administrator may. @throws JitError what is lacking
   */
  rehearse?(signal: AbortSignal): Promise<void>
  /** Ends its connections. */
  close(): Promise<void>
}

/** What a kind of target needs to be built from its part of `broker.yaml`. */
export interface TargetContext {
  readonly name: string
  readonly environment: string
  /** Reads `env:NAME` or `file:PATH`. */
  resolveReference(reference: string): string
  /** Signs a grant token (JWT) with the broker's grant keys and issuer. */
  signGrantToken(claims: Readonly<Record<string, unknown>>): Promise<string>
  /** The store's clock: milliseconds since the epoch. */
  readonly now: () => number
}

/** One kind of target: adding one is a file that exports this, plus a line in `kinds.ts`. */
export interface TargetKind<Config> {
  /** `type:` in `broker.yaml`. */
  readonly type: string
  /** Its own keys of a target's entry, `tasks:` among them (beside `environment`, `type`, `sensitivity`, `ttl`, `env`). */
  readonly config: Schema<Config>
  /** What `env:` templates may name: `url`, `password`, … */
  readonly valueNames: readonly string[]
  /** Those of them that are secret in themselves: clients mask them in the output of commands. */
  readonly secretNames: readonly string[]
  /** Whether a proxy can use its credentials in a command's place; absent: never. */
  proxied?(config: Config): boolean
  /** Builds the target; connects to nothing yet. */
  create(config: Config, context: TargetContext): Target
}
