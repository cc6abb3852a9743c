import { createHash, randomBytes } from 'node:crypto'
import type { JitError } from '../lib/errors.ts'
import type { EndedBy } from '../protocol/grant.ts'
import type { DeliveredCredential } from '../protocol/lifeline.ts'
import type { Decider, Evidence } from './decider.ts'
import { deliveryOf } from './deliveries.ts'
import type { Ender } from './ender.ts'
import { grantEnded } from './grant-errors.ts'
import { inTime } from './in-time.ts'
import type { LeaseTarget } from './ledger/decided-request.ts'
import type { LedgerGrant } from './ledger/rows.ts'
import { mintAll } from './minter.ts'
import type { BrokerParts } from './parts.ts'
import type { ResolvedRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { GrantRow, LeaseRow } from './store/schema.ts'

const IDENTITY_WAIT_MS = 10_000

/** What is handed over when a grant begins, or is taken over by a new connection. */
export interface Handover {
  readonly grant: string
  readonly resumeSecret: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
  readonly credentials: readonly DeliveredCredential[]
}

/** What takes a grant over. */
export interface ResumeRequest {
  readonly grant: string
  /** The one-time secret. */
  readonly secret: string
  /** Whether the credentials arrived. */
  readonly received: boolean
}

/** What came of a resume. `over`: the grant ended while its client was away, which gets what it missed. */
export type Resumption =
  | { readonly kind: 'resumed'; readonly handover: Handover }
  | { readonly kind: 'over'; readonly endedBy: EndedBy }

const hashOf = (secret: string) => createHash('sha256').update(secret).digest('hex')
const newSecret = () => randomBytes(32).toString('base64url')

interface IssuerParts extends BrokerParts {
  readonly decider: Decider
  readonly ender: Ender
  /** What is known beside the client's word; with a row, its approvals too. */
  readonly evidence: (request: ResolvedRequest, row?: GrantRow) => Promise<Evidence>
  /** Throws once nothing new is granted any more. */
  readonly admit: () => void
}

/** What is permitted becomes credentials: mint → record, and again where they never arrived. */
export class Issuer {
  readonly #parts: IssuerParts

  constructor(parts: IssuerParts) {
    this.#parts = parts
  }

  /** The targets, each with what it is connected to now. */
  async targets(request: Pick<ResolvedRequest, 'members' | 'deliveries'>): Promise<LeaseTarget[]> {
    const { fleet } = this.#parts
    return Promise.all(
      request.members.map(async ({ target }) => ({
        target,
        identity: await inTime({ target: target.name, milliseconds: IDENTITY_WAIT_MS }, (signal) =>
          fleet.identity(target, signal),
        ),
        delivery: deliveryOf(request, target.name),
      })),
    )
  }

  async mint(
    facts: Parameters<typeof mintAll>[1]['grant'],
    intents: readonly LeaseRow[],
  ): Promise<Handover> {
    const { ledger, fleet, failpoint } = this.#parts
    const outcome = await mintAll(intents, { fleet, grant: facts })
    failpoint('mint:created')
    if (outcome.kind === 'failed') {
      for (const { target } of intents) fleet.forgetIdentity(target)
      await ledger.grants.known(outcome.minted)
      throw await this.giveUp(facts.id, outcome.error)
    }
    const resumeSecret = newSecret()
    const resumeHash = hashOf(resumeSecret)
    const leases = outcome.minted.map((one) => ledger.grants.asMinted(one))
    const activated = await ledger.grants
      .activate(facts.id, { ...outcome, resumeHash })
      .catch((thrown: unknown) => {
        this.#parts.revoker.undoUnrecorded(leases)
        throw thrown
      })
    failpoint('mint:recorded')
    if (activated.outcome === 'ended') throw grantEnded(facts.id)
    const { expiresAt } = activated
    this.#parts.ender.watch(facts.id, { expiresAt, leases })
    const credentials = outcome.minted.map((one) => fleet.deliver(one))
    return { grant: facts.id, resumeSecret, expiresAt, credentials }
  }

  /** Ends a grant that could not be minted. @returns the error that says why */
  async giveUp(grant: string, error: JitError): Promise<JitError> {
    const reason = { code: error.code, message: error.message }
    const leases = await this.#parts.ledger.grants.refuse(grant, reason)
    if (leases) this.#parts.revoker.undo(leases)
    else await this.#parts.ender.end(grant, { by: 'lifeline', detail: { reason } })
    return error
  }

  /**
   * New leases for a grant whose credentials never arrived, decided again; those that were made
   * are revoked.
   */
  async reissue(session: Session, { row }: LedgerGrant): Promise<Handover> {
    const { ledger, revoker } = this.#parts
    const request = this.#parts.decider.recorded(row)
    const evidence = await this.#parts.evidence(request, row)
    const { kind, decisions } = this.#parts.decider.assess(session, request, evidence)
    if (kind !== 'permitted') {
      const policy_version = this.#parts.decider.current.version
      await this.#parts.ender.endAnyway(row.id, {
        by: 'policy',
        detail: { policy_version, decisions },
      })
      throw grantEnded(row.id)
    }
    const targets = await this.targets(request)
    this.#parts.admit()
    const replaced = await ledger.grants.replaceLeases(row.id, targets)
    if (!replaced) throw grantEnded(row.id)
    revoker.undo(replaced.retired)
    const { principal } = session
    return this.mint({ id: row.id, principal, ...request }, replaced.intents)
  }

  /**
   * Hands a grant to a new connection of the same session.
   * @param onAccepted is told once the secret was right, and the grant goes on
   * @throws JitError `grant_ended`, also when the secret isn't the last one; `session_ended`
   */
  async resume(
    sid: string,
    { grant, secret, received }: ResumeRequest,
    onAccepted: () => void,
  ): Promise<Resumption> {
    const { ledger, sessions, store } = this.#parts
    const session = await sessions.get(sid)
    const found = await ledger.read.grant(grant)
    if (found.row.sid !== sid) throw grantEnded(grant)
    const next = newSecret()
    const exchange = { presented: hashOf(secret), next: hashOf(next) }
    if (!(await ledger.grants.resume(grant, exchange))) return this.#over(grant, exchange.presented)
    onAccepted()
    if (received) await ledger.grants.received(grant)
    else if (found.row.received === 0) {
      return { kind: 'resumed', handover: await this.reissue(session, found) }
    }
    const expiresAt = found.row.expires_at ?? store.now()
    this.#parts.ender.watch(grant, { expiresAt, leases: found.leases })
    return {
      kind: 'resumed',
      handover: { grant, resumeSecret: next, expiresAt, credentials: [] },
    }
  }

  /** Looked at anew: it may have ended a moment ago. */
  async #over(grant: string, presented: string): Promise<Resumption> {
    const { row } = await this.#parts.ledger.read.grant(grant)
    const isIts = [row.resume_hash, row.resume_previous].includes(presented)
    if (row.ended_by === null || !isIts) throw grantEnded(grant)
    return { kind: 'over', endedBy: row.ended_by }
  }
}
