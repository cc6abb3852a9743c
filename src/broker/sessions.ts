import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import type { Ceiling, Principal } from '../protocol/principal.ts'
import type { AuditLog } from './audit.ts'
import { takeProof } from './authenticate.ts'
import type { BrokerConfig } from './config/config.ts'
import { checkCutOff } from './cutoffs.ts'
import type { VerifiedProof } from './dpop.ts'
import type { VerifiedIdentity } from './identity.ts'
import { endSession } from './session-end.ts'
import {
  agentOf,
  delegatedFrom,
  endOf,
  isLive,
  rowOf,
  sessionEnded,
  sessionOf,
} from './session-record.ts'
import { latestSignIn, signInOf } from './session-sign-in.ts'
import type { SessionRow } from './store/schema.ts'
import type { Store, Tx } from './store/store.ts'
import { useToken } from './token-use.ts'

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

/** Why a session ended; `parent`: with the session that it was delegated from; `sandbox`: with that it was for. */
export type SessionEnd = 'logout' | 'idle' | 'max-age' | 'revoked' | 'parent' | 'sandbox'

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
   * @param agent what an agent calls itself; a person has no such name
   * @throws JitError `token_invalid`: used before or in use, of another run, or the key is somebody else's; `request_invalid` for an
   *   agent without a name, or a person with one; `proof_replayed`, `session_ended`
   */
  async exchange(
    signedIn: VerifiedIdentity,
    proof: VerifiedProof,
    agent?: string,
  ): Promise<Session> {
    const { jkt } = proof
    const identity = named(signedIn, agent)
    return this.#store.transaction(async (tx) => {
      await takeProof(tx, proof, this.#store.now())
      const { idle } = this.#limits
      const held = await tx
        .selectFrom('sessions')
        .selectAll()
        .where('jkt', '=', jkt)
        .executeTakeFirst()
      const used = await useToken(tx, { identity, jkt, held, now: this.#store.now(), idle })
      return held
        ? this.#renew(tx, { ...held, ...used }, identity)
        : this.#open(tx, identity, { jkt, ...used })
    })
  }

  async #open(
    tx: Tx,
    identity: NamedIdentity,
    bound: Pick<SessionRow, 'jkt' | 'token_hash'>,
  ): Promise<Session> {
    const now = this.#store.now()
    const principal = principalOf(identity, identity.groups ?? [])
    await checkCutOff(tx, identity, { principalId: principal.id })
    const row: SessionRow = {
      sid: `s_${newId(now)}`,
      principal: JSON.stringify(principal),
      principal_kind: principal.kind,
      principal_id: principal.id,
      issuer: identity.issuer,
      client_id: identity.clientId,
      ...bound,
      ...signInOf(identity),
      created_at: now,
      renewed_at: now,
      expires_at: now + this.#limits.maxAge * 1000,
      ended_at: null,
      ended_by: null,
      signed: signedBy(identity),
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
      ...(principal.owner === undefined ? {} : { owner: principal.owner }),
      ...(identity.signed ? { subject: identity.subject, signed: identity.signed } : {}),
      ...(principal.triggered_by === undefined ? {} : { triggered_by: principal.triggered_by }),
      ...(identity.agent === undefined ? {} : { agent: identity.agent }),
    })
    return sessionOf(row)
  }

  async #renew(tx: Tx, held: SessionRow, identity: NamedIdentity): Promise<Session> {
    const before = JSON.parse(held.principal) as Principal
    const same =
      held.issuer === identity.issuer &&
      held.client_id === identity.clientId &&
      before.id === principalOf(identity, []).id &&
      before.kind === identity.kind
    if (!same) throw anotherAccount(before)
    if (this.#endOf(held)) throw sessionEnded()
    const { id: principalId } = before
    await checkCutOff(tx, identity, { principalId, authenticatedAt: held.authenticated_at })
    // A session is of one run: what was decided for it was decided for that code.
    if (held.signed !== signedBy(identity) || before.triggered_by !== identity.triggeredBy) {
      throw new JitError('token_invalid', 'this identity token is of another run')
    }
    const principal = principalOf(identity, identity.groups ?? before.groups)
    const row: SessionRow = {
      ...held,
      ...latestSignIn(held, identity),
      principal: JSON.stringify(principal),
      renewed_at: this.#store.now(),
    }
    await tx.updateTable('sessions').set(row).where('sid', '=', row.sid).execute()
    const { groups } = principal
    const event = { event: 'session.renewed', principal, session: row.sid, groups } as const
    await this.#audit.append(tx, { ...event, ...newSignIn(held, row) })
    await this.#passGroupsOn(tx, row.sid, principal.groups)
    return sessionOf(row)
  }

  /** An agent of a person has that person's groups, as they are today. */
  async #passGroupsOn(tx: Tx, parent: string, groups: readonly string[]): Promise<void> {
    for (const row of await delegatedFrom(tx, parent)) {
      const principal = { ...(JSON.parse(row.principal) as Principal), groups }
      await tx
        .updateTable('sessions')
        .set({ principal: JSON.stringify(principal) })
        .where('sid', '=', row.sid)
        .execute()
    }
  }

  /**
   * A live session.
   * @throws JitError `session_ended`
   */
  async get(sid: string): Promise<Session> {
    const row = await rowOf(this.#store.db, sid)
    if (!row || !(await this.#isLive(row))) throw sessionEnded(row)
    return sessionOf(row)
  }

  /** A session as it is, or was when it ended. */
  async last(sid: string): Promise<Session | undefined> {
    const row = await rowOf(this.#store.db, sid)
    return row && sessionOf(row)
  }

  /** Ends a session, once, and those delegated from it. @returns whether it was this call that ended it */
  async end(sid: string, by: SessionEnd): Promise<boolean> {
    const ended = { by, at: this.#store.now(), audit: this.#audit }
    return this.#store.transaction(async (tx) => (await endSession(tx, sid, ended)).length > 0)
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
          eb.and([
            eb('parent_sid', 'is', null),
            eb('renewed_at', '<=', now - this.#limits.idle * 1000),
          ]),
        ]),
      )
      .execute()
    return rows.map((row) => ({ sid: row.sid, by: this.#endOf(row) ?? 'idle' }))
  }

  #isLive(row: SessionRow): Promise<boolean> {
    return isLive(row, { db: this.#store.db, now: this.#store.now(), idle: this.#limits.idle })
  }

  #endOf(row: SessionRow): SessionEnd | undefined {
    return endOf(row, { now: this.#store.now(), idle: this.#limits.idle })
  }
}

function anotherAccount({ name }: Principal): JitError {
  return new JitError(
    'token_invalid',
    `another account signed in: the session is that of ${name}`,
    {
      hint: `sign in as ${name}; another account gets a session of its own with \`jit login\``,
    },
  )
}

/** For the record: that somebody signed in once more. */
function newSignIn(before: SessionRow, { authenticated_at, acr }: SessionRow) {
  if (authenticated_at === null || authenticated_at === before.authenticated_at) return {}
  return { authenticated_at: toTimestamp(authenticated_at), ...(acr === '' ? {} : { acr }) }
}

/** Who signed in, with the name that an agent gives itself. */
interface NamedIdentity extends VerifiedIdentity {
  readonly agent: string | undefined
}

/** @throws JitError `request_invalid` */
function named(identity: VerifiedIdentity, agent: string | undefined): NamedIdentity {
  if (identity.kind === 'agent' && agent === undefined) {
    throw new JitError('request_invalid', 'agent_name: an agent has to say what it is called')
  }
  if (identity.kind !== 'agent' && agent !== undefined) {
    throw new JitError('request_invalid', 'agent_name: this identity token is not of an agent')
  }
  return { ...identity, agent }
}

function principalOf(identity: NamedIdentity, given: readonly string[]): Principal {
  const { kind, id, name, clientId, agent, account, triggeredBy } = identity
  const groups = [...given]
  if (kind === 'pipeline') {
    const trigger = triggeredBy === undefined ? {} : { triggered_by: triggeredBy }
    return { kind, id, name, groups, ...trigger }
  }
  const person = { kind: 'human' as const, id, name, groups }
  if (agent !== undefined) return agentOf(person, { client: clientId, agent })
  return { ...person, ...(account === undefined ? {} : { account }) }
}

/** {@link SessionRow.signed} */
function signedBy({ signed }: VerifiedIdentity): string | null {
  return signed ? JSON.stringify(signed) : null
}
