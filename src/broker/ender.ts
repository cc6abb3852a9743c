import { JitError } from '../lib/errors.ts'
import type { AuditEntry } from '../protocol/audit.ts'
import type { EndedBy } from '../protocol/grant.ts'
import type { Principal } from '../protocol/principal.ts'
import { Deadlines } from './deadlines.ts'
import { ENDINGS } from './grant-errors.ts'
import { grantNews } from './grant-news.ts'
import type { Ending } from './ledger/grant-ledger.ts'
import type { LedgerGrant } from './ledger/rows.ts'
import type { BrokerParts } from './parts.ts'
import { promptly } from './promptly.ts'
import type { LeaseRow } from './store/schema.ts'
import { Unrecorded } from './unrecorded.ts'

/** How long an end may take to be recorded before the credentials are revoked without, in milliseconds. */
const RECORDED_WITHIN_MS = 5000
/** How long the store is asked whether a deadline was moved, in milliseconds. */
const ASKED_WITHIN_MS = 2000
/** How many grants end in one transaction: others get their turn between two. */
const ENDED_AT_ONCE = 100

/** What is told of grants to whoever holds their lifelines. */
export interface GrantListener {
  /** It ended by anything but its own client's release. */
  ended(grant: string, ending: { by: EndedBy; reason: string }): void
  /** What a request waited for may be there now. */
  decided(grant: string): void
  /** A request that waited is over. */
  refused(grant: string, error: JitError): void
  /** Its connection is at another node by now. */
  movedAway(grant: string): void
}

/** Ends grants, for whatever reason, tells whoever holds their lifelines, and begins to revoke. */
export class Ender {
  readonly #parts: BrokerParts
  readonly #deadlines: Deadlines
  readonly #unrecorded: Unrecorded
  #listener: GrantListener = { ended() {}, decided() {}, refused() {}, movedAway() {} }

  constructor(parts: BrokerParts) {
    this.#parts = parts
    this.#unrecorded = new Unrecorded(parts)
    this.#deadlines = new Deadlines((due) => {
      this.#endAtDeadline(due).catch((thrown: unknown) => {
        const grants = [...due.keys()]
        parts.log.warn('deadlines could not be recorded', { grants, reason: String(thrown) })
      })
    })
  }

  /** @param listener takes the place of the one before */
  listen(listener: GrantListener): void {
    this.#listener = listener
  }

  /** A grant became active, or came here: it ends at its deadline, in milliseconds since the epoch. */
  watch(
    grant: string,
    { expiresAt, leases }: { expiresAt: number; leases: readonly LeaseRow[] },
  ): void {
    this.#unrecorded.hold(grant, leases)
    this.watchDeadline(grant, expiresAt)
  }

  /** Its deadline is another now. */
  watchDeadline(grant: string, deadline: number): void {
    this.#deadlines.watch(grant, { deadline, left: deadline - this.#parts.store.now() })
  }

  /** What a request waited for may be there now: whoever holds its lifeline is told. */
  decided(grant: string): void {
    this.#listener.decided(grant)
  }

  /**
   * Ends a request that waits, or is being minted.
   * @param by who did, where that isn't its own principal; `attended`: only one that ends with its
   *   connection; `unheld`: only if that is at no node
   * @returns whether it was this call
   */
  async refuse(
    grant: string,
    error: JitError,
    by: { actor?: Principal | undefined; attended?: boolean; unheld?: boolean } = {},
  ): Promise<boolean> {
    const { code, message } = error
    const leases = await this.#parts.ledger.grants.refuse(grant, { code, message }, by)
    if (!leases) return false
    this.#parts.revoker.undo(leases)
    this.#listener.refused(grant, error)
    return true
  }

  /**
   * Ends an active grant and begins to revoke it; whoever is first decides why it ended.
   * @returns whether it was this call
   */
  async end(grant: string, ending: Ending): Promise<boolean> {
    return (await this.endAll([grant], ending)) > 0
  }

  /**
   * Ends active grants. What can't be recorded is revoked all the same, and recorded when it can be.
   * @returns how many it was this call for
   * @throws JitError `store_failed`
   */
  async endAll(grants: readonly string[], ending: Ending): Promise<number> {
    let count = 0
    let failure: unknown
    for (let at = 0; at < grants.length; at += ENDED_AT_ONCE) {
      const some = grants.slice(at, at + ENDED_AT_ONCE)
      try {
        count += await promptly(this.#endTogether(some, ending), RECORDED_WITHIN_MS)
      } catch (thrown) {
        failure ??= thrown
        // At another node it may have found a connection, which only the ledger could tell.
        if (ending.unheld && this.#parts.store.shared) continue
        this.#over(await this.#unrecorded.add(some, ending), ending)
      }
    }
    if (failure) throw failure
    return count
  }

  async #endTogether(grants: readonly string[], ending: Ending): Promise<number> {
    const { ledger, revoker, failpoint } = this.#parts
    const { ended, leases } = await ledger.grants.end(grants, ending)
    if (ended.length > 0) failpoint('revoke:recorded')
    this.#unrecorded.settle(grants)
    revoker.undo(leases)
    this.#over(ended, ending)
    return ended.length
  }

  #over(grants: readonly string[], { by, reason = ENDINGS[by] }: Ending): void {
    for (const grant of grants) {
      this.#deadlines.forget(grant)
      this.#listener.ended(grant, { by, reason })
    }
  }

  /** Whether it has ended, though the ledger couldn't be told yet. */
  hasEnded(grant: string): boolean {
    return this.#unrecorded.has(grant)
  }

  /** Where their connection is at another node, that one watches them; from where it was, the deadline may have been moved. */
  async #endAtDeadline(due: ReadonlyMap<string, number>): Promise<void> {
    const { ledger, store } = this.#parts
    const grants = [...due.keys()]
    const live = new Set<string>()
    for (let at = 0; store.shared && at < grants.length; at += ENDED_AT_ONCE) {
      const asked = ledger.lines.deadlines(grants.slice(at, at + ENDED_AT_ONCE))
      // Deny on doubt.
      for (const { id, here, deadline } of await promptly(asked, ASKED_WITHIN_MS).catch(() => [])) {
        const moved = deadline > (due.get(id) ?? 0)
        if (moved && here) this.watchDeadline(id, deadline)
        if (moved || !here) live.add(id)
      }
    }
    await this.endAll(
      grants.filter((grant) => !live.has(grant)),
      { by: 'ttl' },
    )
  }

  /** Ends a grant in whatever state it is; a request that was asked ahead has no connection to lose. */
  async endAnyway(grant: string, ending: Ending): Promise<void> {
    if (await this.end(grant, ending)) return
    const { by, actor, unheld = false } = ending
    const error = new JitError('grant_ended', ENDINGS[by])
    await this.refuse(grant, error, { actor, attended: by === 'lifeline', unheld })
  }

  /** Ends grants and requests that are not over, the active ones of them together. */
  async endEach(found: readonly LedgerGrant[], ending: Ending): Promise<void> {
    const [active, others] = [true, false].map((wanted) =>
      found.filter(({ row }) => (row.state === 'active') === wanted).map(({ row }) => row.id),
    )
    await this.endAll(active ?? [], ending)
    await Promise.all((others ?? []).map((grant) => this.endAnyway(grant, ending)))
  }

  /** Ends what lost its connection, at whichever node, and found no other within its grace. */
  async endAbandoned(): Promise<void> {
    const { lines } = this.#parts.ledger
    const ending = { by: 'lifeline', unheld: true } as const
    await this.endAll(await lines.abandoned('grants'), ending)
    // What is left never became active.
    for (const grant of await lines.abandoned('grants')) await this.endAnyway(grant, ending)
  }

  /** Another node did something to a grant: whoever holds its lifeline here is told. */
  async toldOf(entry: AuditEntry): Promise<void> {
    const { grant } = entry
    if (grant === undefined) return
    const told = grantNews(entry)
    if (told === undefined) return
    if (told.kind === 'decided') return this.#listener.decided(grant)
    if (told.kind === 'moved-away') return this.#movedAway(grant)
    this.#deadlines.forget(grant)
    this.#unrecorded.settle([grant])
    if (told.kind === 'refused') this.#listener.refused(grant, told.error)
    else this.#listener.ended(grant, { by: told.by, reason: told.reason ?? ENDINGS[told.by] })
  }

  async #movedAway(grant: string): Promise<void> {
    // It may have come back since.
    if (await this.#parts.ledger.lines.isHere(grant)) return
    this.#deadlines.forget(grant)
    this.#unrecorded.forget(grant)
    this.#listener.movedAway(grant)
  }

  /** Ends what is past its deadline by the store's clock, whatever the timers say. */
  async endExpired(): Promise<void> {
    for (;;) {
      const expired = await this.#parts.ledger.read.expired(ENDED_AT_ONCE)
      if (expired.length === 0) return
      await this.endAll(expired, { by: 'ttl' })
    }
  }

  /** Records what could not be recorded when it ended. */
  async endUnrecorded(): Promise<void> {
    for (const [ending, grants] of this.#unrecorded.endings) await this.endAll(grants, ending)
  }

  /** Ends the grants of sessions that have ended. @param endedFor at least so many milliseconds ago */
  async endWithSessions(endedFor = 0): Promise<void> {
    for (const grant of await this.#parts.ledger.read.ofEndedSessions(endedFor)) {
      await this.endAnyway(grant, { by: 'session' })
    }
  }

  stop(): void {
    this.#deadlines.stop()
  }
}
