import { toTimestamp } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import { newId } from '../../lib/handle.ts'
import type { Decision } from '../../policy/decide.ts'
import type { Principal } from '../../protocol/principal.ts'
import type { Command } from '../../protocol/request.ts'
import type { Sandbox } from '../../protocol/sandbox.ts'
import type { AuditEvent, AuditLog } from '../audit.ts'
import { LIVE_GRANT_STATES } from '../grant-state.ts'
import { closeSandboxes } from '../sandbox-close.ts'
import { endSession } from '../session-end.ts'
import type { Session, SessionEnd } from '../sessions.ts'
import type { SandboxEnd, SandboxRow } from '../store/schema.ts'
import type { Store, Tx } from '../store/store.ts'
import { checkSession } from './limits.ts'

/** Sandboxes that one sign-in of a copilot may run at a time. */
const MAX_LIVE = 20

/** The answer for one domain. */
export interface DomainDecision {
  readonly domain: string
  readonly decision: Decision
}

/** A sandbox that is to be opened, and what policy said to each domain that it wants. */
export interface NewSandbox {
  readonly profile: string
  readonly command: Command
  readonly decisions: readonly DomainDecision[]
  readonly policyVersion: string
}

/** A sandbox with what is known of its session. */
export type LedgerSandbox = SandboxRow & { readonly session_expires_at: number }

/** A sandbox that has ended, and why its session did. */
export interface EndedSandbox {
  readonly id: string
  readonly by: SandboxEnd
  readonly sessionBy: SessionEnd | undefined
}

/** The one writer of sandboxes: what changes commits with its audit entry. */
export class SandboxLedger {
  readonly #store: Store
  readonly #audit: AuditLog
  readonly #node: string

  constructor(parts: { store: Store; audit: AuditLog; node: string }) {
    this.#store = parts.store
    this.#node = parts.node
    this.#audit = parts.audit
  }

  /** An id for a sandbox that isn't there yet. */
  newId(): string {
    return `b_${newId(this.#store.now())}`
  }

  /**
   * Begins a sandbox.
   * @throws JitError `session_ended`: it may have ended meanwhile; `limit_reached`
   */
  async open(id: string, session: Session, asked: NewSandbox): Promise<LedgerSandbox> {
    const { sid, principal, expiresAt } = session
    const { profile, command, decisions, policyVersion } = asked
    const named = (effect: Decision['effect']) =>
      decisions.filter(({ decision }) => decision.effect === effect).map(({ domain }) => domain)
    const row: SandboxRow = {
      id,
      sid,
      principal: JSON.stringify(principal),
      profile,
      command: JSON.stringify(command),
      domains: JSON.stringify(named('permit')),
      refused: JSON.stringify(named('deny')),
      policy_version: policyVersion,
      started_at: this.#store.now(),
      ended_at: null,
      ended_by: null,
      held_by: this.#node,
      grace_until: null,
    }
    return this.#store.transaction(async (tx) => {
      await checkSession(tx, sid)
      await checkRoom(tx, session)
      await tx.insertInto('sandboxes').values(row).execute()
      await this.#audit.append(tx, {
        event: 'sandbox.opened',
        principal,
        sandbox: id,
        session: sid,
        owner: principal.owner,
        profile,
        command,
        domains: named('permit'),
        refused: named('deny'),
        decisions,
        policy_version: policyVersion,
        expires_at: toTimestamp(expiresAt),
      })
      return { ...row, session_expires_at: expiresAt }
    })
  }

  /**
   * Ends a sandbox, once; where its session was delegated for it, that ends too.
   * @param why `detail`, for the audit log: what it came of; `unheld`: only if its line is at no node
   * @returns whether it was this call
   */
  async end(
    id: string,
    by: Exclude<SandboxEnd, 'session'>,
    why: { detail?: Readonly<Record<string, unknown>>; unheld?: boolean } = {},
  ): Promise<boolean> {
    const at = this.#store.now()
    const audit = this.#audit
    return this.#store.transaction(async (tx) => {
      const [row] = await closeSandboxes(tx, { id }, { audit, by, at, ...why })
      if (!row) return false
      const session = await tx
        .selectFrom('sessions')
        .select('parent_sid')
        .where('sid', '=', row.sid)
        .executeTakeFirst()
      if (session?.parent_sid) await endSession(tx, row.sid, { audit, at, by: 'sandbox' })
      return true
    })
  }

  /** Records what a sandbox may not reach, and tried to. */
  async refused(row: SandboxRow, entries: readonly Readonly<Record<string, unknown>>[]) {
    if (entries.length === 0) return
    const principal = JSON.parse(row.principal) as Principal
    const event = { event: 'sandbox.refused', principal, sandbox: row.id } as const
    const events = entries.map((entry): AuditEvent => ({ ...entry, ...event }))
    await this.#store.transaction((tx) => this.#audit.append(tx, ...events))
  }

  /** Records that policy permits a sandbox what it has, now. */
  async redecided(
    id: string,
    { version, principal }: { version: string; principal: Principal },
  ): Promise<void> {
    await this.#store.db
      .updateTable('sandboxes')
      .set({ policy_version: version, principal: JSON.stringify(principal) })
      .where('id', '=', id)
      .execute()
  }

  async find(id: string): Promise<LedgerSandbox | undefined> {
    return this.#withSession().where('sandboxes.id', '=', id).executeTakeFirst()
  }

  /** Those that haven't ended, oldest first. */
  live(): Promise<LedgerSandbox[]> {
    return this.#withSession()
      .where('sandboxes.ended_at', 'is', null)
      .orderBy('started_at')
      .execute()
  }

  /**
   * Live ones last decided under other policies, or for a principal that was another then, save those
   * whose line is at another node: that one decides.
   */
  decidedOtherwise(version: string): Promise<LedgerSandbox[]> {
    return this.#withSession()
      .where('sandboxes.ended_at', 'is', null)
      .where((eb) =>
        eb.or([eb('sandboxes.held_by', 'is', null), eb('sandboxes.held_by', '=', this.#node)]),
      )
      .where((eb) =>
        eb.or([
          eb('sandboxes.policy_version', '!=', version),
          eb('sandboxes.principal', '!=', eb.ref('sessions.principal')),
        ]),
      )
      .execute()
  }

  #withSession() {
    return this.#store.db
      .selectFrom('sandboxes')
      .innerJoin('sessions', 'sessions.sid', 'sandboxes.sid')
      .selectAll('sandboxes')
      .select('sessions.expires_at as session_expires_at')
  }

  /** Which of these have ended. */
  async ended(ids: readonly string[]): Promise<EndedSandbox[]> {
    if (ids.length === 0) return []
    const rows = await this.#store.db
      .selectFrom('sandboxes')
      .innerJoin('sessions', 'sessions.sid', 'sandboxes.sid')
      .select(['sandboxes.id', 'sandboxes.ended_by', 'sessions.ended_by as session_by'])
      .where('sandboxes.id', 'in', ids)
      .where('sandboxes.ended_at', 'is not', null)
      .execute()
    return rows.map(({ id, ended_by, session_by }) => ({
      id,
      by: ended_by ?? 'session',
      sessionBy: (session_by as SessionEnd | null) ?? undefined,
    }))
  }

  /** Sandboxes as clients are shown them, each with the live grants of its session. */
  async views(rows: readonly LedgerSandbox[]): Promise<Sandbox[]> {
    if (rows.length === 0) return []
    const grants = await this.#store.db
      .selectFrom('grants')
      .select(['id', 'sid'])
      .where('sid', 'in', [...new Set(rows.map(({ sid }) => sid))])
      .where('state', 'in', LIVE_GRANT_STATES)
      .orderBy('id')
      .execute()
    const bySession = Map.groupBy(grants, ({ sid }) => sid)
    return rows.map((row) => ({
      id: row.id,
      principal: JSON.parse(row.principal) as Principal,
      profile: row.profile,
      command: JSON.parse(row.command) as Command,
      started_at: toTimestamp(row.started_at),
      expires_at: toTimestamp(row.session_expires_at),
      domains: JSON.parse(row.domains) as string[],
      refused: JSON.parse(row.refused) as string[],
      grants: (bySession.get(row.sid) ?? []).map(({ id }) => id),
    }))
  }
}

/** A session that was delegated for a sandbox ends with it: no other may live on it. */
async function checkRoom(tx: Tx, { sid }: Session): Promise<void> {
  const { live, parent } = await tx
    .selectFrom('sessions')
    .select((eb) => [
      'parent_sid as parent',
      eb
        .selectFrom('sandboxes')
        .select((of) => of.fn.countAll<number>().as('live'))
        .whereRef('sandboxes.sid', '=', 'sessions.sid')
        .where('sandboxes.ended_at', 'is', null)
        .as('live'),
    ])
    .where('sid', '=', sid)
    .executeTakeFirstOrThrow()
  const most = parent === null ? MAX_LIVE : 1
  if (Number(live) < most) return
  const message =
    most === 1 ? 'this session has its sandbox' : `${live} sandboxes run on this session`
  throw new JitError('limit_reached', message, {
    hint: most === 1 ? 'hand on a session for each sandbox' : 'end one of them first: jit status',
  })
}
