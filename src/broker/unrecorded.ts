import { LEASE } from './grant-state.ts'
import type { Ending } from './ledger/grant-ledger.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { Revoker } from './revoker.ts'
import type { LeaseRow } from './store/schema.ts'

/**
 * Grants whose end can't be recorded now: a full disk, a database that is gone. Their credentials are
 * undone at the targets all the same, from memory where the ledger can't even be read.
 */
export class Unrecorded {
  readonly #ledger: Ledger
  readonly #revoker: Revoker
  readonly #held = new Map<string, readonly LeaseRow[]>()
  readonly #endings = new Map<string, Ending>()

  constructor(parts: { ledger: Ledger; revoker: Revoker }) {
    this.#ledger = parts.ledger
    this.#revoker = parts.revoker
  }

  /** What to undo when this grant ends and nobody can be asked. */
  hold(grant: string, leases: readonly LeaseRow[]): void {
    this.#held.set(grant, leases)
  }

  /** It lives on at another node. */
  forget(grant: string): void {
    this.#held.delete(grant)
  }

  /** Whether it has ended, though the ledger doesn't say so. */
  has(grant: string): boolean {
    return this.#endings.has(grant)
  }

  /** The grants of each ending, as they came. */
  get endings(): ReadonlyMap<Ending, readonly string[]> {
    const byEnding = Map.groupBy(this.#endings, ([, ending]) => ending)
    return new Map([...byEnding].map(([ending, all]) => [ending, all.map(([grant]) => grant)]))
  }

  /** @returns those that had not ended before: whoever ends one first decides why */
  async add(grants: readonly string[], ending: Ending): Promise<string[]> {
    const added = grants.filter((grant) => !this.#endings.has(grant))
    for (const grant of added) this.#endings.set(grant, ending)
    for (const grant of grants) this.#revoker.undoUnrecorded(await this.#leasesOf(grant))
    return added
  }

  async #leasesOf(grant: string): Promise<readonly LeaseRow[]> {
    const held = this.#held.get(grant)
    if (held) return held
    const known = await this.#ledger.read.grant(grant).catch(() => undefined)
    return known?.leases.filter(({ state }) => LEASE.revoke.from.some((one) => one === state)) ?? []
  }

  /** Their end is recorded. */
  settle(grants: readonly string[]): void {
    for (const grant of grants) {
      this.#held.delete(grant)
      this.#endings.delete(grant)
    }
  }
}
