import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import type { EndedBy, Receipt } from '../protocol/grant.ts'
import type { DeliveredCredential } from '../protocol/lifeline.ts'
import type { GrantRequest } from '../protocol/request.ts'
import type { BrokerParts } from './broker.ts'
import { Deadlines } from './deadlines.ts'
import { Decider, denialsOf, type TargetDecision } from './decider.ts'
import { Exclusively } from './exclusively.ts'
import type { DecidedRequest, LeaseTarget } from './ledger/decided-request.ts'
import type { Ending } from './ledger/grant-ledger.ts'
import type { LedgerGrant } from './ledger/rows.ts'
import { mintAll } from './minter.ts'
import { type ResolvedRequest, resolveRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { LeaseRow } from './store/schema.ts'

/** How long a release waits for the targets before the receipt says `retrying`, in milliseconds. */
const RECEIPT_WAIT_MS = 4500
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

/** Told when a grant ends by anything but its own client's release. */
export type EndListener = (grant: string, ending: { by: EndedBy; reason: string }) => void

const hashOf = (secret: string) => createHash('sha256').update(secret).digest('hex')
const newSecret = () => randomBytes(32).toString('base64url')

const REASONS: Readonly<Record<EndedBy, string>> = {
  exit: 'the command has ended',
  ttl: 'its time is over',
  lifeline: 'the connection to the client was lost',
  revoked: 'it was revoked',
  context: 'its context changed',
  policy: 'policy does not permit it any more',
  session: 'the session has ended',
}

/**
 * Grants from request to receipt: validate → decide → mint → audit. Who asks was authenticated
 * before, by the lifeline.
 */
export class Grants {
  readonly #parts: BrokerParts
  readonly #decider: Decider
  readonly #deadlines: Deadlines
  readonly #one = new Exclusively()
  #onEnd: EndListener = () => {}
  #draining = false

  constructor(parts: BrokerParts) {
    this.#parts = parts
    this.#decider = new Decider(parts)
    this.#deadlines = new Deadlines({
      log: parts.log,
      end: (grant) => this.end(grant, { by: 'ttl' }),
    })
  }

  onEnd(listener: EndListener): void {
    this.#onEnd = listener
  }

  /**
   * Answers a request. The same key and details from the same session get the same grant.
   * @param onResolved is told what is asked for, before it is decided
   * @throws JitError `session_ended`, `request_invalid`, `idempotency_conflict`, `limit_reached`, `grant_ended`, `target_*`
   */
  request(
    sid: string,
    { key, details }: GrantRequest,
    onResolved: (id: string, request: ResolvedRequest) => void,
  ): Promise<RequestOutcome> {
    return this.#one.run(`${sid}:${key}`, async () => {
      this.#refuseWhileDraining()
      const session = await this.#parts.sessions.get(sid)
      const request = resolveRequest(details, this.#parts)
      const before = await this.#parts.ledger.read.grantByKey(sid, key)
      if (before && before.row.request_hash !== request.hash) {
        throw new JitError('idempotency_conflict', 'this key was used for another request')
      }
      const id = before?.row.id ?? `g_${newId(this.#parts.store.now())}`
      onResolved(id, request)
      if (before) return this.#answerAgain(session, before, request)
      return this.#answer(session, { id, key, request })
    })
  }

  async #answer(
    session: Session,
    { id, key, request }: { id: string; key: string; request: ResolvedRequest },
  ): Promise<RequestOutcome> {
    const { ledger, config, failpoint } = this.#parts
    const decisions = this.#decider.decide(session, request)
    const decided = this.#decided(session, { id, key, request, decisions })
    const denials = denialsOf(decisions)
    if (denials.length > 0) {
      await ledger.grants.record(decided, [], config.limits)
      return { kind: 'denied', ...this.#decider.explain(request, denials) }
    }
    const intents = await ledger.grants.record(
      decided,
      await this.#leaseTargets(decided.targets).catch(async (thrown) => {
        // It was permitted, and that is recorded although nothing comes of it.
        await ledger.grants.record(decided, [], config.limits)
        throw await this.#giveUp(id, JitError.from(thrown))
      }),
      config.limits,
    )
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
      const denials = denialsOf(this.#decider.decide(session, request))
      if (denials.length === 0) throw grantEnded(before.row.id)
      return { kind: 'denied', ...this.#decider.explain(request, denials) }
    }
    return { kind: 'granted', handover: await this.#reissue(session, before) }
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
      policyVersion: this.#decider.current.version,
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
    const { ledger, fleet, store, failpoint } = this.#parts
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
    this.#deadlines.watch(facts.id, expiresAt - store.now())
    const credentials = outcome.minted.map((one) => fleet.deliver(one))
    return { grant: facts.id, resumeSecret, expiresAt, credentials }
  }

  /** Ends a grant that could not be minted. @returns the error that says why */
  async #giveUp(grant: string, error: JitError): Promise<JitError> {
    const reason = { code: error.code, message: error.message }
    const leases = await this.#parts.ledger.grants.refuse(grant, reason)
    if (leases) this.#parts.revoker.undo(leases)
    else await this.end(grant, { by: 'lifeline', detail: { reason } })
    return error
  }

  /**
   * New leases for a grant whose credentials never arrived, decided again; those that were made
   * are revoked.
   */
  async #reissue(session: Session, { row }: LedgerGrant): Promise<Handover> {
    const { ledger, revoker } = this.#parts
    const request = this.#decider.recorded(row)
    if (denialsOf(this.#decider.decide(session, request)).length > 0) {
      await this.end(row.id, { by: 'policy' })
      throw grantEnded(row.id)
    }
    const targets = await this.#leaseTargets(JSON.parse(row.targets) as string[])
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
  resume(
    sid: string,
    { grant, secret, received }: { grant: string; secret: string; received: boolean },
    onAccepted: () => void,
  ): Promise<Handover> {
    return this.#one.run(grant, async () => {
      this.#refuseWhileDraining()
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
    })
  }

  /** A client has the secret that a resume answered with. */
  resumeArrived(grant: string): Promise<void> {
    return this.#parts.ledger.grants.resumeArrived(grant)
  }

  received(grant: string): Promise<void> {
    return this.#parts.ledger.grants.received(grant)
  }

  /**
   * Ends an active grant and begins to revoke it; whoever is first decides why it ended.
   * @returns whether it was this call
   */
  async end(grant: string, ending: Ending): Promise<boolean> {
    const { ledger, revoker, failpoint } = this.#parts
    const leases = await ledger.grants.end(grant, ending)
    if (!leases) return false
    failpoint('revoke:recorded')
    this.#deadlines.forget(grant)
    revoker.undo(leases)
    this.#onEnd(grant, { by: ending.by, reason: REASONS[ending.by] })
    return true
  }

  /** Ends a grant in whatever state it is: one that is being minted is refused. */
  async endAnyway(grant: string, ending: Ending): Promise<void> {
    if (await this.end(grant, ending)) return
    const reason = { code: 'grant_ended', message: REASONS[ending.by] }
    const leases = await this.#parts.ledger.grants.refuse(grant, reason, ending.actor)
    if (leases) this.#parts.revoker.undo(leases)
  }

  /** What became of an ended grant, once each of its leases had an attempt (or 4.5 s went by). */
  async receipt(grant: string): Promise<Receipt> {
    const { ledger, revoker } = this.#parts
    const { leases } = await ledger.read.grant(grant)
    await revoker.attempted(leases, RECEIPT_WAIT_MS)
    return ledger.read.receipt(grant)
  }

  /** Ends what is past its deadline by the store's clock, whatever the timers say. */
  async endExpired(): Promise<void> {
    for (const grant of await this.#parts.ledger.read.expired()) {
      await this.end(grant, { by: 'ttl' })
    }
  }

  /** Ends the grants of sessions that have ended. */
  async endWithSessions(): Promise<void> {
    for (const grant of await this.#parts.ledger.read.ofEndedSessions()) {
      await this.endAnyway(grant, { by: 'session' })
    }
  }

  /** Gives up what nobody mints any more: its window is over, or whoever minted died. */
  async endOrphans(): Promise<void> {
    const { ledger, revoker } = this.#parts
    revoker.undo(await ledger.grants.overdueIntents())
    for (const grant of await ledger.read.orphans()) {
      const reason = { code: 'internal', message: 'it was never minted' }
      revoker.undo((await ledger.grants.refuse(grant, reason)) ?? [])
    }
  }

  /** Decides again what was decided under other policies, or for a principal that has changed since. */
  async redecide(): Promise<void> {
    const { ledger, sessions, log } = this.#parts
    const { version } = this.#decider.current
    for (const row of await ledger.read.decidedOtherwise(version)) {
      try {
        const session = await sessions.get(row.sid)
        if (denialsOf(this.#decider.decide(session, this.#decider.recorded(row))).length > 0) {
          await this.end(row.id, { by: 'policy' })
        } else await ledger.grants.redecided(row.id, { version, principal: session.principal })
      } catch (thrown) {
        log.warn('a grant could not be decided again', { grant: row.id, reason: String(thrown) })
      }
    }
  }

  /** Takes up what an earlier process left: deadlines first. @returns grants that wait for their lifeline */
  async takeUp(): Promise<string[]> {
    const { ledger, store } = this.#parts
    await this.endExpired()
    const waiting = (await ledger.read.live()).filter(({ row }) => row.state !== 'revoking')
    for (const { row } of waiting) {
      if (row.expires_at !== null) this.#deadlines.watch(row.id, row.expires_at - store.now())
    }
    return waiting.map(({ row }) => row.id)
  }

  /**
   * Ends every grant for good, because this ledger won't be opened again: nothing new is granted,
   * and targets are waited for until all confirmed or `milliseconds` are over.
   * @returns the handles that were not confirmed
   */
  async drain(milliseconds: number): Promise<string[]> {
    const { ledger } = this.#parts
    const deadline = performance.now() + milliseconds
    this.#draining = true
    await Promise.race([this.#one.idle(), wait(milliseconds, undefined, { ref: false })])
    for (const { row } of await ledger.read.live()) {
      await this.endAnyway(row.id, { by: 'lifeline' })
    }
    for (;;) {
      const open = await ledger.read.unrevoked()
      if (open.length === 0 || performance.now() > deadline) return open
      await wait(50)
    }
  }

  #refuseWhileDraining(): void {
    if (this.#draining) throw new JitError('broker_failed', 'the broker is stopping')
  }

  stop(): void {
    this.#deadlines.stop()
  }
}

function grantEnded(grant: string): JitError {
  return new JitError('grant_ended', `grant ${grant} is over`, { hint: 'ask again' })
}
