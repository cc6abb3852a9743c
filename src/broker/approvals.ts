import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import type { ApprovalMethod } from '../policy/question.ts'
import type { ApprovalRequest } from '../protocol/approval.ts'
import type { Grant } from '../protocol/grant.ts'
import type { Obligation } from '../protocol/obligation.ts'
import { hashOfSubject, subjectOf } from './approval-subject.ts'
import { authenticationOf, evidenceOf } from './decider.ts'
import { noSuchGrant, requestLapsed } from './grant-errors.ts'
import { GRANTED_STATES } from './grant-state.ts'
import type { Grants } from './grants.ts'
import { grantView, isWaiting, type LedgerGrant, obligationOf, principalOf } from './ledger/rows.ts'
import type { BrokerParts } from './parts.ts'
import { isOwn } from './permissions.ts'
import type { Session } from './sessions.ts'
import type { ApprovalRow, GrantRow } from './store/schema.ts'
import { isTrigger } from './trigger.ts'

interface ApprovalParts extends BrokerParts {
  readonly grants: Grants
}

/** Requests that wait for people: who may say yes to which, and what a yes is bound to. */
export class Approvals {
  readonly #parts: ApprovalParts

  constructor(parts: ApprovalParts) {
    this.#parts = parts
  }

  /** The requests that wait for this person, oldest first. */
  async waitingFor(session: Session): Promise<ApprovalRequest[]> {
    const waiting = await this.#parts.ledger.read.waiting()
    const mine = waiting.filter(({ row }) => this.#isWanted(session, row))
    const views = await Promise.all(
      // One whose target is gone can't be shown, and so not be approved.
      mine.map(async ({ row }) => this.#view(row).catch(() => undefined)),
    )
    const { id } = session.principal
    return views
      .filter((view) => view !== undefined)
      .filter(({ approvals }) => approvals.every(({ approver }) => approver.id !== id))
  }

  /** Whether it waits for a group that this person is in. */
  #isWanted(session: Session, row: GrantRow): boolean {
    if (row.state !== 'pending') return false
    const { groups } = session.principal
    const wanted = obligationOf(row).approvals.some(({ group }) => groups.includes(group))
    return wanted && this.#isApprover(session, row)
  }

  /** @throws JitError `not_found`: also for whom it isn't to see */
  async show(session: Session, grant: string): Promise<ApprovalRequest> {
    const { row } = await this.#parts.ledger.read.grant(grant)
    if (!this.#isApprover(session, row) && !hasAsked(session, row)) throw noSuchGrant(grant)
    requireWaiting(row)
    return { ...(await this.#view(row)), ...(await this.#forgeView(row)) }
  }

  /** For one request alone: a list would ask the forge about each. */
  async #forgeView(row: GrantRow): Promise<Pick<ApprovalRequest, 'forge'>> {
    const { forge, grants } = this.#parts
    const { claimed } = grants.decider.recorded(row).context
    if (!forge || claimed.commit === '') return {}
    const { commitOnBranch, branchProtected } = await forge.check(claimed)
    return { forge: { commit_on_branch: commitOnBranch, branch_protected: branchProtected } }
  }

  /**
   * Says yes to exactly what was shown.
   * @param hash of the subject that was shown
   * @throws JitError `denied`, `insufficient_user_authentication`, `request_changed`, `request_lapsed`, `grant_ended`,
   *   `not_found`, `session_ended`, `limit_reached`
   */
  async approve(session: Session, grant: string, hash: string): Promise<ApprovalRequest> {
    const { ledger, config, failpoint, grants } = this.#parts
    const { row } = await this.#forApprover(session, grant)
    requireWaiting(row)
    const request = grants.decider.recorded(row)
    const subjectHash = hashOfSubject(subjectOf(row, request))
    if (subjectHash !== hash) throw changed()
    const method = this.#method(session, row, subjectHash)
    const asker = await this.#parts.sessions.last(row.sid)
    if (!asker) throw requestLapsed()
    const { forge } = await grants.evidence(request, row)
    const wants = (approvals: readonly ApprovalRow[]): Obligation => {
      const evidence = evidenceOf(approvals, { subjectHash, forge })
      const assessment = grants.decider.assess(asker, request, evidence)
      if (assessment.kind === 'permitted') return { approvals: [] }
      return assessment.kind === 'waits' ? assessment.obligation : obligationOf(row)
    }
    const groups = config.approvers.filter((group) => session.principal.groups.includes(group))
    const { principal: approver, sid, authenticatedAt } = session
    const approval = { approver, groups, method, subjectHash, sid, authenticatedAt }
    const { lapse } = config.approval
    const after = await ledger.requests.approve(grant, approval, { lapse, wants })
    if (!after) throw await this.#whyNot(grant)
    failpoint('approve:recorded')
    grants.ender.decided(grant)
    return this.#view(after)
  }

  /**
   * Says no, for good.
   * @throws JitError `denied`, `not_found`, `grant_ended`
   */
  async deny(session: Session, grant: string, reason: string): Promise<ApprovalRequest> {
    const { grants } = this.#parts
    const { row } = await this.#forApprover(session, grant)
    requireWaiting(row)
    const { principal } = session
    const why = reason === '' ? '' : `: ${reason}`
    const error = new JitError('approval_denied', `${principal.name} denied it${why}`)
    const refused = await grants.ender.refuse(grant, error, { actor: principal })
    if (!refused) throw await this.#whyNot(grant)
    return this.#view({ ...row, state: 'refused' })
  }

  /** Why a request waits no more that did a moment ago. */
  async #whyNot(grant: string): Promise<JitError> {
    const { row } = await this.#parts.ledger.read.grant(grant)
    return waitsNot(row) ?? requestLapsed()
  }

  /** Emergencies that nobody has looked at, for those who approve such requests. */
  async unacknowledged(session: Session): Promise<Grant[]> {
    const found = await this.#parts.ledger.read.unacknowledged()
    const others = found.filter((one) => !isOwn(session, one))
    return others.filter(({ row }) => this.#isApprover(session, row)).map(grantView)
  }

  /**
   * Says that an emergency was looked at, by somebody else than whoever had it, or whose copilot did.
   * @throws JitError `denied`, `not_found`, `request_invalid`
   */
  async acknowledge(session: Session, grant: string): Promise<Grant> {
    const found = await this.#forApprover(session, grant)
    const { row } = found
    if (isOwn(session, found)) {
      throw new JitError('denied', 'your copilot had it: somebody else has to look at it')
    }
    if (row.break_glass === 0 || !wasGranted(row)) {
      throw new JitError('request_invalid', `grant ${grant} was no emergency`)
    }
    await this.#parts.ledger.requests.acknowledge(grant, session.principal)
    return grantView(found)
  }

  async #view(row: GrantRow): Promise<ApprovalRequest> {
    const { grants } = this.#parts
    const subject = subjectOf(row, grants.decider.recorded(row))
    const { descriptions } = grants.decider.current
    const wantedBy = JSON.parse(row.wanted_by ?? '[]') as string[]
    return {
      subject,
      hash: hashOfSubject(subject),
      state: row.state,
      obligation: obligationOf(row),
      policies: wantedBy.map((id) => {
        const description = descriptions.get(id)
        return { id, ...(description === undefined ? {} : { description }) }
      }),
      approvals: await grants.approvals(row.id),
      lapses_at: toTimestamp(row.lapses_at ?? row.requested_at),
    }
  }

  /** Whether policy would have this person approve, signed in as well as they could. */
  #isApprover(session: Session, row: GrantRow): boolean {
    const { principal } = session
    if (principal.kind !== 'human' || hasAsked(session, row) || hasTriggered(session, row))
      return false
    return this.#wantedSignIn(session, row) !== 'none'
  }

  /**
   * A grant, for somebody who may say yes to it.
   * @throws JitError `denied`: nobody approves their own request, and no agent or pipeline any; `not_found`
   */
  async #forApprover(session: Session, grant: string): Promise<LedgerGrant> {
    const { kind } = session.principal
    if (kind !== 'human') {
      throw new JitError('denied', `${kind}s approve nothing: a person has to`)
    }
    const found = await this.#parts.ledger.read.grant(grant)
    const { row } = found
    if (hasAsked(session, row)) {
      throw new JitError('denied', 'you asked for it: somebody else has to approve it')
    }
    if (hasTriggered(session, row)) {
      throw new JitError('denied', 'you set this pipeline off: somebody else has to approve it')
    }
    if (!this.#isApprover(session, row)) throw noSuchGrant(grant)
    return found
  }

  /**
   * How the approver has shown who they are: by a sign-in newer than the request where policy wants
   * one. A sign-in that carried a nonce was for one request, and counts for that alone.
   * @throws JitError `insufficient_user_authentication`
   */
  #method(session: Session, row: GrantRow, subjectHash: string): ApprovalMethod {
    const { nonce, authenticatedAt = 0 } = session
    const fresh = authenticatedAt > row.requested_at && (nonce === '' || nonce === subjectHash)
    const method = fresh ? 'reauth' : 'session'
    if (this.#permits(session, row, method)) return method
    const acr = this.#wantedSignIn(session, row)
    const since = Math.floor((this.#parts.store.now() - row.requested_at) / 1000)
    throw new JitError(
      'insufficient_user_authentication',
      'approving this takes a sign-in newer than the request',
      {
        signIn: {
          // `auth_time` has whole seconds: one less, so that it comes after the request.
          max_age: Math.max(0, since - 1),
          acr_values: acr === '' || acr === 'none' ? [] : [acr],
        },
      },
    )
  }

  /** The authentication context that a new sign-in must have: `''` any, `'none'` when none would do. */
  #wantedSignIn(session: Session, row: GrantRow): string {
    const candidates = ['', ...this.#parts.config.acr]
    const authenticatedAt = this.#parts.store.now()
    const enough = candidates.find((acr) =>
      this.#permits({ ...session, authenticatedAt, acr: acr || session.acr }, row, 'reauth'),
    )
    return enough ?? 'none'
  }

  #permits(session: Session, row: GrantRow, method: ApprovalMethod): boolean {
    const { policies, store, grants } = this.#parts
    const { effect } = policies.current.decideOn({
      principal: session.principal,
      action: 'approve',
      method,
      grant: {
        id: row.id,
        principal: principalOf(row),
        environment: row.environment,
        task: row.task,
        tier: grants.decider.tier(row),
      },
      context: { authentication: authenticationOf(session), now: store.now() },
    })
    return effect === 'permit'
  }
}

const hasAsked = ({ principal }: Session, row: GrantRow) =>
  principal.id === row.principal_id && principal.kind === row.principal_kind

function hasTriggered({ principal }: Session, row: GrantRow): boolean {
  const { triggered_by } = principalOf(row)
  return triggered_by !== undefined && isTrigger(principal, triggered_by)
}

/** @throws JitError `grant_ended` */
function requireWaiting(row: GrantRow): void {
  const error = waitsNot(row)
  if (error) throw error
}

/** Why a request doesn't wait for an approval, where it doesn't. */
function waitsNot(row: GrantRow): JitError | undefined {
  if (row.state === 'pending' && obligationOf(row).approvals.length > 0) return undefined
  const why = isWaiting(row) ? 'is approved already' : `is ${row.state}`
  return new JitError('grant_ended', `request ${row.id} ${why}: it doesn't wait for approval`)
}

function wasGranted({ state }: GrantRow): boolean {
  return (GRANTED_STATES as readonly string[]).includes(state)
}

function changed(): JitError {
  return new JitError('request_changed', 'it is not what you were shown any more', {
    hint: 'look at it again: `jit approve ID`',
  })
}
