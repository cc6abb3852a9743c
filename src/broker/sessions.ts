import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import type { Ceiling, Principal } from '../protocol/principal.ts'
import type { AuditLog } from './audit.ts'
import { takeProof } from './authenticate.ts'
import type { BrokerConfig } from './config/config.ts'
import type { VerifiedProof } from './dpop.ts'
import type { VerifiedIdentity } from './identity.ts'
import { takeOnce } from './replay.ts'
import type { SessionRow } from './store/schema.ts'
import type { Store, Tx } from './store/store.ts'

/** A principal's record at the broker, bound to the key `jkt`. Times are milliseconds since the epoch. */
export interface Session {
  readonly sid: string
  readonly principal: Principal
  readonly issuer: string
  readonly clientId: string
  readonly jkt: string
  /** `auth_time`: when the person really signed in; unknown where the provider doesn't say. */
  readonly authenticatedAt: number | undefined
  readonly acr: string
  readonly amr: readonly string[]
  /** Its greatest age. */
  readonly expiresAt: number
  /** What its issuer signed; people's and agents' providers sign none. */
  readonly signed: SignedContext
  /** What may be asked for at most. */
  readonly ceiling: Ceiling | undefined
  /** `nonce` of the last sign-in, `""` where its flow carried none. */
  readonly nonce: string
}

/** `""` where no issuer signed it. */
export interface SignedContext {
  readonly repository: string
  readonly branch: string
  readonly commit: string
}

const UNSIGNED: SignedContext = { repository: '', branch: '', commit: '' }

/** Why a session ended. */
export type SessionEnd = 'logout' | 'idle' | 'max-age' | 'revoked'

/** Identity tokens are taken up to 5 minutes after `iat`, give or take clocks: remembered longer. */
const ID_TOKEN_REMEMBERED_MS = 15 * 60_000

export class Sessions {
  readonly #store: Store
  readonly #audit: AuditLog
  readonly #limits: BrokerConfig['session']

  constructor(parts: { store: Store; audit: AuditLog; limits: BrokerConfig['session'] }) {
    this.#store = parts.store
    this.#audit = parts.audit
    this.#limits = parts.limits
  }

  /**
   * Opens a session for the key, or renews the one that the key already has.
   * @throws JitError `token_invalid`: used before, or the key is somebody else's; `proof_replayed`, `session_ended`
   */
  async exchange(identity: VerifiedIdentity, proof: VerifiedProof): Promise<Session> {
    const { jkt } = proof
    return this.#store.transaction(async (tx) => {
      await takeProof(tx, proof, this.#store.now())
      const expiresAt = this.#store.now() + ID_TOKEN_REMEMBERED_MS
      const once = { scope: 'id-token', value: identity.tokenHash, expiresAt } as const
      if (!(await takeOnce(tx, once))) {
        throw new JitError('token_invalid', 'this identity token was used before')
      }
      const held = await tx
        .selectFrom('sessions')
        .selectAll()
        .where('jkt', '=', jkt)
        .executeTakeFirst()
      return held ? this.#renew(tx, held, identity) : this.#open(tx, identity, jkt)
    })
  }

  async #open(tx: Tx, identity: VerifiedIdentity, jkt: string): Promise<Session> {
    const now = this.#store.now()
    const principal = principalOf(identity, identity.groups ?? [])
    const row: SessionRow = {
      sid: `s_${newId(now)}`,
      principal: JSON.stringify(principal),
      principal_kind: principal.kind,
      principal_id: principal.id,
      issuer: identity.issuer,
      client_id: identity.clientId,
      jkt,
      ...signInOf(identity),
      created_at: now,
      renewed_at: now,
      expires_at: now + this.#limits.maxAge * 1000,
      ended_at: null,
      ended_by: null,
      signed: null,
      ceiling: null,
      parent_sid: null,
    }
    await tx.insertInto('sessions').values(row).execute()
    await this.#audit.append(tx, {
      event: 'session.opened',
      principal,
      session: row.sid,
      groups: principal.groups,
      client: identity.clientId,
      issuer: identity.issuer,
    })
    return this.#view(row)
  }

  async #renew(tx: Tx, held: SessionRow, identity: VerifiedIdentity): Promise<Session> {
    const before = JSON.parse(held.principal) as Principal
    const same =
      held.issuer === identity.issuer &&
      held.client_id === identity.clientId &&
      before.id === principalOf(identity, []).id &&
      before.kind === identity.kind
    if (!same) throw new JitError('token_invalid', "this key belongs to somebody else's session")
    if (this.#endOf(held)) throw sessionEnded()
    const principal = principalOf(identity, identity.groups ?? before.groups)
    const row: SessionRow = {
      ...held,
      ...(identity.authTime === undefined ? {} : signInOf(identity)),
      principal: JSON.stringify(principal),
      renewed_at: this.#store.now(),
    }
    await tx.updateTable('sessions').set(row).where('sid', '=', row.sid).execute()
    const event = 'session.renewed' as const
    await this.#audit.append(tx, { event, principal, session: row.sid, groups: principal.groups })
    return this.#view(row)
  }

  /**
   * A live session.
   * @throws JitError `session_ended`
   */
  async get(sid: string): Promise<Session> {
    const row = await this.#store.db
      .selectFrom('sessions')
      .selectAll()
      .where('sid', '=', sid)
      .executeTakeFirst()
    if (!row || this.#endOf(row)) throw sessionEnded()
    return this.#view(row)
  }

  /** A session as it is, or was when it ended. */
  async last(sid: string): Promise<Session | undefined> {
    const row = await this.#store.db
      .selectFrom('sessions')
      .selectAll()
      .where('sid', '=', sid)
      .executeTakeFirst()
    return row && this.#view(row)
  }

  /** Ends a session, once. @returns whether it was this call that ended it */
  async end(sid: string, by: SessionEnd): Promise<boolean> {
    return this.#store.transaction(async (tx) => {
      const row = await tx
        .updateTable('sessions')
        .set({ ended_at: this.#store.now(), ended_by: by })
        .where('sid', '=', sid)
        .where('ended_at', 'is', null)
        .returningAll()
        .executeTakeFirst()
      if (!row) return false
      const principal = JSON.parse(row.principal) as Principal
      await this.#audit.append(tx, { event: 'session.ended', principal, session: sid, by })
      return true
    })
  }

  /** Sessions whose time has run out but which nobody ended yet. */
  async lapsed(): Promise<{ sid: string; by: SessionEnd }[]> {
    const now = this.#store.now()
    const rows = await this.#store.db
      .selectFrom('sessions')
      .selectAll()
      .where('ended_at', 'is', null)
      .where((eb) =>
        eb.or([
          eb('expires_at', '<=', now),
          eb('renewed_at', '<=', now - this.#limits.idle * 1000),
        ]),
      )
      .execute()
    return rows.map((row) => ({ sid: row.sid, by: this.#endOf(row) ?? 'idle' }))
  }

  #endOf(row: SessionRow): SessionEnd | undefined {
    if (row.ended_at !== null) return (row.ended_by as SessionEnd | null) ?? 'revoked'
    const now = this.#store.now()
    if (row.expires_at <= now) return 'max-age'
    return row.renewed_at + this.#limits.idle * 1000 <= now ? 'idle' : undefined
  }

  #view(row: SessionRow): Session {
    return {
      sid: row.sid,
      principal: JSON.parse(row.principal) as Principal,
      issuer: row.issuer,
      clientId: row.client_id,
      jkt: row.jkt,
      authenticatedAt: row.authenticated_at ?? undefined,
      acr: row.acr,
      amr: JSON.parse(row.amr) as string[],
      expiresAt: row.expires_at,
      signed: row.signed === null ? UNSIGNED : (JSON.parse(row.signed) as SignedContext),
      ceiling: row.ceiling === null ? undefined : (JSON.parse(row.ceiling) as Ceiling),
      nonce: row.nonce,
    }
  }
}

function sessionEnded(): JitError {
  return new JitError('session_ended', 'your session has ended', {
    hint: 'sign in again with `jit login`',
  })
}

/** An agent has an id of its own; the person who signed it in owns it. */
function principalOf(identity: VerifiedIdentity, given: readonly string[]): Principal {
  const { kind, id, name, clientId } = identity
  const groups = [...given]
  return kind === 'human'
    ? { kind, id, name, groups }
    : { kind, id: `${id}#${encodeURIComponent(clientId)}`, name, groups, owner: id }
}

function signInOf(identity: VerifiedIdentity) {
  return {
    authenticated_at: identity.authTime === undefined ? null : identity.authTime * 1000,
    acr: identity.acr ?? '',
    amr: JSON.stringify(identity.amr ?? []),
    nonce: identity.nonce ?? '',
  }
}
