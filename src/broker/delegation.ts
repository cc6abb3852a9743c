import { decodeJwt } from 'jose'
import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import { Delegation } from '../protocol/oauth.ts'
import { parse } from '../protocol/parse.ts'
import type { Principal } from '../protocol/principal.ts'
import type { AuditEvent, AuditLog } from './audit.ts'
import {
  type AuthenticationParts,
  authenticate,
  takeProof,
  verifyRequestProof,
} from './authenticate.ts'
import { checkCeilingNames } from './ceiling.ts'
import type { BrokerConfig } from './config/config.ts'
import { checkCutOff } from './cutoffs.ts'
import type { VerifiedProof } from './dpop.ts'
import { agentOf, delegatedFrom, isLive, rowOf, sessionEnded, sessionOf } from './session-record.ts'
import type { Session } from './sessions.ts'
import type { SessionRow } from './store/schema.ts'
import type { Tx } from './store/store.ts'

/** Sessions that were delegated from one, live ones and all: a person's copilots, no flood of the log. */
const MAX_LIVE = 20
const MAX_EVER = 200
/** A renewal sooner than this after the last changes nothing, and is not recorded. */
const RENEWED_LATELY_MS = 60_000
/** How `DelegatedRequest.proof` and `subjectProof` say what they are for. */
const ENDPOINT = { method: 'POST', path: '/oauth/token' } as const

/** A token exchange (RFC 8693) whose subject is a session of this broker. */
export interface DelegatedRequest {
  /** An access token: the person's to delegate, the delegated session's own to renew. */
  readonly subjectToken: string
  /** The `DPoP` header: by the key of the session that is asked for. */
  readonly proof: string | undefined
}

export interface DelegationParts extends AuthenticationParts {
  readonly audit: AuditLog
  readonly config: BrokerConfig
}

/**
 * Opens a session for an agent from a person's own. It ends with it, knows no sign-in but that one,
 * and can't be handed on.
 * @param request.subjectProof a proof by the person's key that names the new key, the agent and what
 *   it may ask for at most: {@link Delegation}
 * @throws JitError what `authenticate` throws; `denied` for anybody but a person, `proof_invalid`,
 *   `request_invalid`, `token_invalid`, `limit_reached`
 */
export async function delegate(
  { subjectToken, subjectProof, proof }: DelegatedRequest & { readonly subjectProof: string },
  parts: DelegationParts,
): Promise<Session> {
  // By the new key over the person's token, and by the person's key over the new one: neither of
  // the two is of use with another.
  const own = await verifyRequestProof(
    { ...ENDPOINT, proof },
    { ...parts, accessToken: subjectToken },
  )
  const authorization = `DPoP ${subjectToken}`
  const person = await authenticate({ ...ENDPOINT, authorization, proof: subjectProof }, parts)
  if (person.principal.kind !== 'human') {
    throw new JitError('denied', 'only a person can delegate: what they gave can not be handed on')
  }
  const delegation = parse(Delegation, decodeJwt(subjectProof).delegation, {
    what: 'delegation',
    code: 'proof_invalid',
  })
  if (delegation.jkt !== own.jkt) {
    throw new JitError('proof_invalid', 'delegation: for another key')
  }
  checkCeilingNames(delegation.ceiling, parts.config)
  return open({ parent: person.sid, delegation, proof: own }, parts)
}

function open(
  asked: { parent: string; delegation: Delegation; proof: VerifiedProof },
  { store, audit, config }: DelegationParts,
): Promise<Session> {
  const { parent, delegation, proof } = asked
  const { idle, delegatedMaxAge } = config.session
  return store.transaction(async (tx) => {
    const now = store.now()
    await takeProof(tx, proof, now)
    const from = await rowOf(tx, parent)
    if (!from || !(await isLive(from, { db: tx, now, idle }))) throw sessionEnded()
    await checkRoom(tx, { parent, jkt: proof.jkt })
    const row = delegatedRow(from, { delegation, now, maxAge: delegatedMaxAge })
    // A copilot whose access was ended needs a person who signed in after that.
    await checkCutOff(
      tx,
      { id: from.principal_id, kind: 'human', issuedAt: 0 },
      { principalId: row.principal_id, authenticatedAt: from.authenticated_at },
    )
    await tx.insertInto('sessions').values(row).execute()
    await audit.append(tx, openedEvent(row, delegation))
    return sessionOf(row)
  })
}

function openedEvent(row: SessionRow, { agent, ceiling }: Delegation): AuditEvent {
  const principal = JSON.parse(row.principal) as Principal
  return {
    event: 'session.opened',
    principal,
    session: row.sid,
    groups: principal.groups,
    client: row.client_id,
    issuer: row.issuer,
    owner: principal.owner,
    agent,
    parent: row.parent_sid,
    ceiling,
    expires_at: toTimestamp(row.expires_at),
  }
}

async function checkRoom(tx: Tx, { parent, jkt }: { parent: string; jkt: string }): Promise<void> {
  const held = await tx
    .selectFrom('sessions')
    .select('sid')
    .where('jkt', '=', jkt)
    .executeTakeFirst()
  if (held) throw new JitError('token_invalid', 'this key belongs to another session')
  if ((await delegatedFrom(tx, parent)).length >= MAX_LIVE) {
    throw new JitError('limit_reached', `${MAX_LIVE} copilots hold this session`, {
      hint: 'end the session of one first: jit logout --agent NAME',
    })
  }
  const { ever } = await tx
    .selectFrom('sessions')
    .select((eb) => eb.fn.countAll<number>().as('ever'))
    .where('parent_sid', '=', parent)
    .executeTakeFirstOrThrow()
  if (Number(ever) < MAX_EVER) return
  throw new JitError('limit_reached', `this session was handed on ${MAX_EVER} times`, {
    hint: 'start another: jit login',
  })
}

/** As its parent was, save what is its own; groups follow the parent's later, a sign-in doesn't. */
function delegatedRow(
  from: SessionRow,
  { delegation, now, maxAge }: { delegation: Delegation; now: number; maxAge: number },
): SessionRow {
  const { agent, ceiling, jkt, expires_in: asked = maxAge } = delegation
  const principal = agentOf(JSON.parse(from.principal) as Principal, {
    client: from.client_id,
    agent,
  })
  return {
    ...from,
    sid: `s_${newId(now)}`,
    principal: JSON.stringify(principal),
    principal_kind: principal.kind,
    principal_id: principal.id,
    jkt,
    token_hash: null,
    nonce: '',
    created_at: now,
    renewed_at: now,
    expires_at: Math.min(now + Math.min(asked, maxAge) * 1000, from.expires_at),
    ceiling: Object.keys(ceiling).length === 0 ? null : JSON.stringify(ceiling),
    parent_sid: from.sid,
  }
}

/**
 * Lets a delegated session go on as long as its parent lives: a new token for its last one, which may
 * have expired, on the word of its own key.
 * @throws JitError `token_invalid` for any other session, `session_ended`, `proof_invalid`, `proof_replayed`
 */
export async function renewDelegated(
  { subjectToken, proof }: DelegatedRequest,
  parts: DelegationParts,
): Promise<Session> {
  const { store, audit, config, accessTokens } = parts
  const claims = await accessTokens.verify(subjectToken, { expired: true })
  const own = await verifyRequestProof(
    { ...ENDPOINT, proof },
    { ...parts, accessToken: subjectToken },
  )
  return store.transaction(async (tx) => {
    const now = store.now()
    await takeProof(tx, own, now)
    const row = await rowOf(tx, claims.session)
    if (!row || row.jkt !== own.jkt || row.parent_sid === null) {
      throw new JitError('token_invalid', 'only a delegated session is renewed by its own token')
    }
    if (!(await isLive(row, { db: tx, now, idle: config.session.idle }))) throw sessionEnded(row)
    if (now - row.renewed_at < RENEWED_LATELY_MS) return sessionOf(row)
    await tx.updateTable('sessions').set({ renewed_at: now }).where('sid', '=', row.sid).execute()
    const principal = JSON.parse(row.principal) as Principal
    const { groups } = principal
    await audit.append(tx, { event: 'session.renewed', principal, session: row.sid, groups })
    return sessionOf({ ...row, renewed_at: now })
  })
}
