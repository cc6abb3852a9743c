import { createHash, randomBytes } from 'node:crypto'
import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import type { Decision } from '../policy/decide.ts'
import { describeDenial } from '../policy/denial.ts'
import type { EndedBy, GrantContext, Receipt } from '../protocol/grant.ts'
import type { DeliveredCredential } from '../protocol/lifeline.ts'
import type { GrantRequest } from '../protocol/request.ts'
import type { BrokerParts } from './broker.ts'
import type { DecidedRequest, LeaseTarget } from './ledger/decided-request.ts'
import type { Ending } from './ledger/grant-ledger.ts'
import type { LedgerGrant } from './ledger/rows.ts'
import { mintAll } from './minter.ts'
import { type ResolvedRequest, resolveRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { GrantRow, LeaseRow } from './store/schema.ts'

/** How long a release waits for the targets before the receipt says `retrying`, in milliseconds. */
const RECEIPT_WAIT_MS = 4500

/** `setTimeout` takes no more. */
const MAX_TIMER_MS = 2 ** 31 - 1

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

/** Why policy denies a task at one target. */
interface TargetDenial {
  readonly target: string
  readonly decision: Extract<Decision, { effect: 'deny' }>
}

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
  readonly #deadlines = new Map<string, NodeJS.Timeout>()
  /** One thing at a time for one grant: a repeated key waits for the first to be answered. */
  readonly #locks = new Map<string, Promise<unknown>>()
  #onEnd: EndListener = () => {}

  constructor(parts: BrokerParts) {
    this.#parts = parts
  }

  onEnd(listener: EndListener): void {
    this.#onEnd = listener
  }

  /**
   * Answers a request. The same key and details from the same session get the same grant.
   * @param onResolved is told what is asked for, before it is decided
   * @throws JitError `request_invalid`, `idempotency_conflict`, `limit_reached`, `grant_ended`, `target_*`
   */
  request(
    session: Session,
    { key, details }: GrantRequest,
    onResolved: (id: string, request: ResolvedRequest) => void,
  ): Promise<RequestOutcome> {
    return this.#exclusively(`${session.sid}:${key}`, async () => {
      const request = resolveRequest(details, this.#parts)
      const before = await this.#parts.ledger.read.grantByKey(session.sid, key)
      if (before) {
        if (before.row.request_hash !== request.hash) {
          throw new JitError('idempotency_conflict', 'this key was used for another request')
        }
        onResolved(before.row.id, request)
        return { kind: 'granted', handover: await this.#reissue(session, before) }
      }
      const id = `g_${newId(this.#parts.store.now())}`
      onResolved(id, request)
      return this.#decideAndMint(session, { id, key, request })
    })
  }

  async #decideAndMint(
    session: Session,
    { id, key, request }: { id: string; key: string; request: ResolvedRequest },
  ): Promise<RequestOutcome> {
    const { ledger, config, failpoint } = this.#parts
    const denials = this.#decide(session, request)
    const decided = await this.#decided(session, { id, key, request, denials })
    const intents = await ledger.grants.record(decided, config.limits.grantsPerPrincipal)
    if (denials.length > 0) {
      const policies = [...new Set(denials.flatMap(({ decision }) => decision.policies))]
      return { kind: 'denied', message: this.#explain(request, denials), policies }
    }
    failpoint('mint:intended')
    const facts = {
      id,
      environment: request.environment,
      task: request.task,
      principal: session.principal,
      context: request.context,
    }
    return { kind: 'granted', handover: await this.#mint(facts, intents) }
  }

  /** The targets that policy denies, in words; none when all permit. */
  #decide(session: Session, request: ResolvedRequest): TargetDenial[] {
    const { policies, store } = this.#parts
    const { repository, branch, commit, ...unsigned } = request.context
    return request.members.flatMap(({ target }) => {
      const decision: Decision = policies.current.decide({
        principal: session.principal,
        task: request.task,
        target: target.name,
        context: {
          ...unsigned,
          signed: { repository, branch, commit },
          ttl: request.ttlSeconds,
          delivery: 'env',
          authentication: authenticationOf(session),
          now: store.now(),
        },
      })
      if (decision.effect === 'permit') return []
      return [{ target: target.name, decision }]
    })
  }

  /** The denials in words; targets that were denied for the same reason in one breath. */
  #explain({ task, environment }: ResolvedRequest, denials: readonly TargetDenial[]): string {
    const policies = this.#parts.policies.current
    const alike = Map.groupBy(denials, ({ decision }) => JSON.stringify(decision))
    return [...alike.values()]
      .map((group) => {
        const subject = `${task} in ${environment} at ${group.map(({ target }) => target).join(', ')}`
        return group[0] ? describeDenial(group[0].decision, { subject, policies }) : ''
      })
      .join('; ')
  }

  async #decided(
    session: Session,
    {
      id,
      key,
      request,
      denials,
    }: {
      id: string
      key: string
      request: ResolvedRequest
      denials: readonly TargetDenial[]
    },
  ): Promise<DecidedRequest> {
    const permitted = denials.length === 0
    const { environment, tier, task, ttlSeconds, context, hash } = request
    return {
      id,
      sid: session.sid,
      principal: session.principal,
      key,
      hash,
      ...{ environment, tier, task, ttlSeconds, context, permitted },
      policyVersion: this.#parts.policies.current.version,
      decision: permitted
        ? { effect: 'permit' }
        : {
            effect: 'deny',
            targets: denials.map(({ target, decision }) => ({ target, decision })),
          },
      targets: await this.#leaseTargets(
        request.members.map(({ target }) => target.name),
        permitted,
      ),
    }
  }

  /** @param connect whether they are asked who they are: not for what is denied */
  async #leaseTargets(names: readonly string[], connect = true): Promise<LeaseTarget[]> {
    const { fleet } = this.#parts
    const signal = AbortSignal.timeout(10_000)
    return Promise.all(
      names.map(async (name) => {
        const target = fleet.get(name)?.target
        if (!target) throw new JitError('target_refused', `'${name}' is not configured any more`)
        return { target, identity: connect ? await fleet.identity(target, signal) : '' }
      }),
    )
  }

  async #mint(
    facts: Parameters<typeof mintAll>[1]['grant'],
    intents: readonly LeaseRow[],
  ): Promise<Handover> {
    const { ledger, fleet, revoker, failpoint } = this.#parts
    const outcome = await mintAll(intents, { fleet, grant: facts })
    failpoint('mint:created')
    if (outcome.kind === 'failed') {
      const { error, minted } = outcome
      for (const { target } of intents) fleet.forgetIdentity(target)
      const reason = { code: error.code, message: error.message }
      revoker.undo(await ledger.grants.refuse(facts.id, { reason, minted }))
      throw error
    }
    const resumeSecret = newSecret()
    const activated = await ledger.grants.activate(facts.id, {
      minted: outcome.minted,
      resumeHash: hashOf(resumeSecret),
    })
    failpoint('mint:recorded')
    if (activated.outcome === 'ended') throw grantEnded(facts.id)
    this.#watchDeadline(facts.id, activated.expiresAt)
    return {
      grant: facts.id,
      resumeSecret,
      expiresAt: activated.expiresAt,
      credentials: outcome.minted.map((one) => fleet.deliver(one)),
    }
  }

  /**
   * New leases for a grant whose credentials never arrived, decided again; those that were made
   * are revoked.
   */
  async #reissue(session: Session, { row }: LedgerGrant): Promise<Handover> {
    const { ledger, revoker } = this.#parts
    const request = this.#recorded(row)
    if (this.#decide(session, request).length > 0) {
      await this.end(row.id, { by: 'policy' })
      throw grantEnded(row.id)
    }
    const targets = await this.#leaseTargets(JSON.parse(row.targets) as string[])
    const replaced = await ledger.grants.replaceLeases(row.id, targets)
    if (!replaced) throw grantEnded(row.id)
    revoker.undo(replaced.retired)
    const { environment, task, context } = request
    const facts = { id: row.id, environment, task, principal: session.principal, context }
    return this.#mint(facts, replaced.intents)
  }

  /** A request as it was recorded, with today's targets. */
  #recorded(row: GrantRow): ResolvedRequest {
    const members = (JSON.parse(row.targets) as string[]).flatMap(
      (name) => this.#parts.fleet.get(name) ?? [],
    )
    return {
      environment: row.environment,
      tier: row.tier,
      task: row.task,
      members,
      ttlSeconds: row.ttl_seconds,
      context: JSON.parse(row.context) as GrantContext,
      hash: row.request_hash,
    }
  }

  /**
   * Hands a grant to a new connection of the same session.
   * @throws JitError `grant_ended`, also when the secret isn't the last one
   */
  resume(
    session: Session,
    { grant, secret, received }: { grant: string; secret: string; received: boolean },
  ): Promise<Handover> {
    return this.#exclusively(grant, async () => {
      const { ledger } = this.#parts
      const found = await ledger.read.grant(grant)
      if (found.row.sid !== session.sid) throw grantEnded(grant)
      const next = newSecret()
      const presented = hashOf(secret)
      if (!(await ledger.grants.resume(grant, { presented, next: hashOf(next) })))
        throw grantEnded(grant)
      if (received) await ledger.grants.received(grant)
      else if (found.row.received === 0) return this.#reissue(session, found)
      return {
        grant,
        resumeSecret: next,
        expiresAt: found.row.expires_at ?? this.#parts.store.now(),
        credentials: [],
      }
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
   * Ends a grant and begins to revoke it; whoever is first decides why it ended.
   * @returns whether it was this call
   */
  async end(grant: string, ending: Ending): Promise<boolean> {
    const { ledger, revoker, failpoint } = this.#parts
    const leases = await ledger.grants.end(grant, ending)
    if (!leases) return false
    failpoint('revoke:recorded')
    clearTimeout(this.#deadlines.get(grant))
    this.#deadlines.delete(grant)
    revoker.undo(leases)
    this.#onEnd(grant, { by: ending.by, reason: REASONS[ending.by] })
    return true
  }

  /** What became of an ended grant, once each of its leases had an attempt (or 4.5 s went by). */
  async receipt(grant: string): Promise<Receipt> {
    const { ledger, revoker } = this.#parts
    const { leases } = await ledger.read.grant(grant)
    await revoker.attempted(leases, RECEIPT_WAIT_MS)
    return ledger.read.receipt(grant)
  }

  /** The lifeline of a grant did not come back within the grace. */
  async abandon(grant: string): Promise<void> {
    if (await this.end(grant, { by: 'lifeline' })) return
    const reason = { code: 'grant_ended', message: 'the client went away' }
    this.#parts.revoker.undo(await this.#parts.ledger.grants.refuse(grant, { reason, minted: [] }))
  }

  /** Ends the grants of a session that has ended. */
  async endSession(sid: string): Promise<void> {
    for (const { row } of await this.#parts.ledger.read.live({ sid })) {
      if (!(await this.end(row.id, { by: 'session' }))) await this.abandon(row.id)
    }
  }

  /** Ends active grants that today's policies would not permit. */
  async redecide(): Promise<void> {
    for (const { row } of await this.#parts.ledger.read.live({ state: 'active' })) {
      const session = await this.#parts.sessions.get(row.sid).catch(() => undefined)
      if (!session) await this.end(row.id, { by: 'session' })
      else if (this.#decide(session, this.#recorded(row)).length > 0) {
        await this.end(row.id, { by: 'policy' })
      }
    }
  }

  /** Takes up what an earlier process left: deadlines first. @returns grants that wait for their lifeline */
  async takeUp(): Promise<string[]> {
    const { ledger } = this.#parts
    await this.endExpired()
    const waiting: string[] = []
    for (const { row } of await ledger.read.live()) {
      if (row.state === 'revoking') continue
      waiting.push(row.id)
      if (row.expires_at !== null) this.#watchDeadline(row.id, row.expires_at)
    }
    return waiting
  }

  /** Ends what is past its deadline by the store's clock, whatever the timers say. */
  async endExpired(): Promise<void> {
    for (const grant of await this.#parts.ledger.read.expired())
      await this.end(grant, { by: 'ttl' })
  }

  /** Ends every grant, and waits for the targets at most so long. */
  async drain(milliseconds: number): Promise<void> {
    const live = await this.#parts.ledger.read.live()
    for (const { row } of live) await this.abandon(row.id)
    const leases = live.flatMap((grant) => grant.leases)
    await this.#parts.revoker.attempted(leases, milliseconds)
  }

  #watchDeadline(grant: string, expiresAt: number): void {
    clearTimeout(this.#deadlines.get(grant))
    const left = Math.min(Math.max(0, expiresAt - this.#parts.store.now()), MAX_TIMER_MS)
    const timer = setTimeout(() => {
      this.end(grant, { by: 'ttl' }).catch((thrown: unknown) => {
        this.#parts.log.warn('a deadline could not be recorded', { grant, reason: String(thrown) })
      })
    }, left)
    this.#deadlines.set(grant, timer)
  }

  stop(): void {
    for (const timer of this.#deadlines.values()) clearTimeout(timer)
    this.#deadlines.clear()
  }

  async #exclusively<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#locks.get(key) ?? Promise.resolve()
    const mine = before.then(work, work)
    const settled = mine.catch(() => {})
    this.#locks.set(key, settled)
    try {
      return await mine
    } finally {
      if (this.#locks.get(key) === settled) this.#locks.delete(key)
    }
  }
}

/** How and when the principal signed in, for policies. */
export function authenticationOf(session: Session) {
  return { acr: session.acr, amr: session.amr, at: session.authenticatedAt }
}

function grantEnded(grant: string): JitError {
  return new JitError('grant_ended', `grant ${grant} is over`, { hint: 'ask again' })
}
