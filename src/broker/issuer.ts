import { createHash, randomBytes } from 'node:crypto'
import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import type { DeliveredCredential } from '../protocol/lifeline.ts'
import type { GrantRequest } from '../protocol/request.ts'
import type { BrokerParts } from './broker.ts'
import { type Decider, denialsOf, type TargetDecision } from './decider.ts'
import type { DecidedRequest, LeaseTarget } from './ledger/decided-request.ts'
import type { Ending } from './ledger/grant-ledger.ts'
import type { LedgerGrant } from './ledger/rows.ts'
import { mintAll } from './minter.ts'
import { type ResolvedRequest, resolveRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { LeaseRow } from './store/schema.ts'

const IDENTITY_WAIT_MS = 10_000

/** What is handed over when a grant begins, or is taken over by a new connection. */
export interface Handover {
  readonly grant: string
  readonly resumeSecret: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
  readonly credentials: readonly DeliveredCredential[]
}

/** The answer to a request. */
export type RequestOutcome =
  | { readonly kind: 'granted'; readonly handover: Handover }
  | { readonly kind: 'denied'; readonly message: string; readonly policies: readonly string[] }

/** What takes a grant over. */
export interface ResumeRequest {
  readonly grant: string
  /** The one-time secret. */
  readonly secret: string
  /** Whether the credentials arrived. */
  readonly received: boolean
}

const hashOf = (secret: string) => createHash('sha256').update(secret).digest('hex')
const newSecret = () => randomBytes(32).toString('base64url')

interface IssuerParts extends BrokerParts {
  readonly decider: Decider
  /** Ends a grant that is active. */
  readonly end: (grant: string, ending: Ending) => Promise<boolean>
  /** Ends a grant in whatever state it is. */
  readonly endAnyway: (grant: string, ending: Ending) => Promise<void>
  /** One thing at a time for one grant. */
  readonly exclusively: <T>(grant: string, work: () => Promise<T>) => Promise<T>
  /** Throws once nothing new is granted any more. */
  readonly admit: () => void
  /** Told the deadline of each grant that became active: milliseconds since the epoch. */
  readonly activated: (grant: string, expiresAt: number) => void
}

/** From a request to its credentials: validate → decide → mint → audit. */
export class Issuer {
  readonly #parts: IssuerParts

  constructor(parts: IssuerParts) {
    this.#parts = parts
  }

  /**
   * Answers a request. The same key and details from the same session get the same grant.
   * @param onResolved is told what is asked for, before it is decided
   * @throws JitError `session_ended`, `request_invalid`, `idempotency_conflict`, `limit_reached`, `grant_ended`, `target_*`
   */
  async request(
    sid: string,
    { key, details }: GrantRequest,
    onResolved: (id: string, request: ResolvedRequest) => void,
  ): Promise<RequestOutcome> {
    const session = await this.#parts.sessions.get(sid)
    const request = resolveRequest(details, session, this.#parts)
    const before = await this.#parts.ledger.read.grantByKey(sid, key)
    if (before && before.row.request_hash !== request.hash) {
      throw new JitError('idempotency_conflict', 'this key was used for another request')
    }
    if (before && isOver(before)) throw grantEnded(before.row.id)
    const id = before?.row.id ?? `g_${newId(this.#parts.store.now())}`
    onResolved(id, request)
    if (before) return this.#answerAgain(session, before, request)
    return this.#answer(session, { id, key, request })
  }

  async #answer(
    session: Session,
    { id, key, request }: { id: string; key: string; request: ResolvedRequest },
  ): Promise<RequestOutcome> {
    const { ledger, config, failpoint } = this.#parts
    const decisions = this.#parts.decider.decide(session, request)
    const decided = this.#decided(session, { id, key, request, decisions })
    const denials = denialsOf(decisions)
    if (denials.length > 0) {
      await ledger.grants.record(decided, [], config.limits)
      return { kind: 'denied', ...this.#parts.decider.explain(request, denials) }
    }
    const targets = await this.#leaseTargets(decided.targets).catch(async (thrown) => {
      // It was permitted, and that is recorded although nothing comes of it.
      await ledger.grants.record(decided, [], config.limits)
      throw await this.#giveUp(id, JitError.from(thrown))
    })
    this.#parts.admit()
    const intents = await ledger.grants.record(decided, targets, config.limits)
    failpoint('mint:intended')
    const { principal } = session
    const handover = await this.#mint({ id, principal, ...request }, intents)
    return { kind: 'granted', handover }
  }

  /** The same request once more: the denial again, or the same grant with new leases. */
  async #answerAgain(
    session: Session,
    before: LedgerGrant,
    request: ResolvedRequest,
  ): Promise<RequestOutcome> {
    if (before.row.state === 'denied') {
      const denials = denialsOf(this.#parts.decider.decide(session, request))
      if (denials.length === 0) throw grantEnded(before.row.id)
      return { kind: 'denied', ...this.#parts.decider.explain(request, denials) }
    }
    const { id } = before.row
    const handover = await this.#parts.exclusively(id, () => this.#reissue(session, before))
    return { kind: 'granted', handover }
  }

  #decided(
    session: Session,
    asked: {
      id: string
      key: string
      request: ResolvedRequest
      decisions: readonly TargetDecision[]
    },
  ): DecidedRequest {
    const { members, ...request } = asked.request
    return {
      ...request,
      id: asked.id,
      key: asked.key,
      sid: session.sid,
      principal: session.principal,
      permitted: denialsOf(asked.decisions).length === 0,
      policyVersion: this.#parts.decider.current.version,
      decisions: asked.decisions,
      targets: members.map(({ target }) => target.name),
    }
  }

  /** The targets, each with what it is connected to now. */
  async #leaseTargets(names: readonly string[]): Promise<LeaseTarget[]> {
    const { fleet } = this.#parts
    const signal = AbortSignal.timeout(IDENTITY_WAIT_MS)
    return Promise.all(
      names.map(async (name) => {
        const target = fleet.get(name)?.target
        if (!target) throw new JitError('target_refused', `'${name}' is not configured any more`)
        return { target, identity: await fleet.identity(target, signal) }
      }),
    )
  }

  async #mint(
    facts: Parameters<typeof mintAll>[1]['grant'],
    intents: readonly LeaseRow[],
  ): Promise<Handover> {
    const { ledger, fleet, failpoint } = this.#parts
    const outcome = await mintAll(intents, { fleet, grant: facts })
    failpoint('mint:created')
    if (outcome.kind === 'failed') {
      for (const { target } of intents) fleet.forgetIdentity(target)
      await ledger.grants.known(outcome.minted)
      throw await this.#giveUp(facts.id, outcome.error)
    }
    const resumeSecret = newSecret()
    const resumeHash = hashOf(resumeSecret)
    const activated = await ledger.grants.activate(facts.id, { ...outcome, resumeHash })
    failpoint('mint:recorded')
    if (activated.outcome === 'ended') throw grantEnded(facts.id)
    const { expiresAt } = activated
    this.#parts.activated(facts.id, expiresAt)
    const credentials = outcome.minted.map((one) => fleet.deliver(one))
    return { grant: facts.id, resumeSecret, expiresAt, credentials }
  }

  /** Ends a grant that could not be minted. @returns the error that says why */
  async #giveUp(grant: string, error: JitError): Promise<JitError> {
    const reason = { code: error.code, message: error.message }
    const leases = await this.#parts.ledger.grants.refuse(grant, reason)
    if (leases) this.#parts.revoker.undo(leases)
    else await this.#parts.end(grant, { by: 'lifeline', detail: { reason } })
    return error
  }

  /**
   * New leases for a grant whose credentials never arrived, decided again; those that were made
   * are revoked.
   */
  async #reissue(session: Session, { row }: LedgerGrant): Promise<Handover> {
    const { ledger, revoker } = this.#parts
    const request = this.#parts.decider.recorded(row)
    if (denialsOf(this.#parts.decider.decide(session, request)).length > 0) {
      await this.#parts.endAnyway(row.id, { by: 'policy' })
      throw grantEnded(row.id)
    }
    const targets = await this.#leaseTargets(JSON.parse(row.targets) as string[])
    this.#parts.admit()
    const replaced = await ledger.grants.replaceLeases(row.id, targets)
    if (!replaced) throw grantEnded(row.id)
    revoker.undo(replaced.retired)
    const { principal } = session
    return this.#mint({ id: row.id, principal, ...request }, replaced.intents)
  }

  /**
   * Hands a grant to a new connection of the same session.
   * @param onAccepted is told once the secret was right
   * @throws JitError `grant_ended`, also when the secret isn't the last one; `session_ended`
   */
  async resume(
    sid: string,
    { grant, secret, received }: ResumeRequest,
    onAccepted: () => void,
  ): Promise<Handover> {
    const { ledger, sessions, store } = this.#parts
    const session = await sessions.get(sid)
    const found = await ledger.read.grant(grant)
    if (found.row.sid !== sid) throw grantEnded(grant)
    const next = newSecret()
    const exchange = { presented: hashOf(secret), next: hashOf(next) }
    if (!(await ledger.grants.resume(grant, exchange))) throw grantEnded(grant)
    onAccepted()
    if (received) await ledger.grants.received(grant)
    else if (found.row.received === 0) return this.#reissue(session, found)
    const expiresAt = found.row.expires_at ?? store.now()
    return { grant, resumeSecret: next, expiresAt, credentials: [] }
  }
}

/** A grant that its client has, or that has ended: its key stands for nothing more. */
function isOver({ row }: LedgerGrant): boolean {
  const open = row.state === 'requested' || row.state === 'active'
  return row.state !== 'denied' && (!open || row.received === 1)
}

function grantEnded(grant: string): JitError {
  return new JitError('grant_ended', `grant ${grant} is over`, { hint: 'ask again' })
}
