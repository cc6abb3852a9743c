import type { WebSocket } from 'ws'
import { LIFELINE_CLOSE, PING_INTERVAL_SECONDS } from '../protocol/lifeline.ts'
import { Graces } from './graces.ts'
import type { Ledger } from './ledger/ledger.ts'
import { Lifeline, type LifelineParts } from './lifeline.ts'
import { tooOften } from './rate-limits.ts'
import type { Session } from './sessions.ts'
import type { Store } from './store/store.ts'

/** How many connections one session may hold. */
const MAX_PER_SESSION = 200
/** When one more may be tried, in seconds. */
const AGAIN_S = 5
/** How long a client may take to answer that its connection is closed, in milliseconds. */
const CLOSING_MS = 1000

type Parts = Omit<LifelineParts, 'session' | 'hold' | 'holds' | 'lost' | 'closed'> & {
  readonly ledger: Pick<Ledger, 'lines'>
  readonly store: Pick<Store, 'shared'>
}

/** The lifelines of this node: who holds which grant, and the grace of those that lost theirs. */
export class Lifelines {
  readonly #parts: Parts
  readonly #byGrant = new Map<string, Lifeline>()
  readonly #all = new Set<Lifeline>()
  readonly #graces: Graces
  readonly #ping: NodeJS.Timeout
  #stopping = false

  constructor(parts: Parts) {
    this.#parts = parts
    const { ledger, store, log, config, grants } = parts
    this.#graces = new Graces({
      what: 'grants',
      grace: config.lifeline.grace * 1000,
      lines: ledger.lines,
      store,
      log,
      isHeld: (grant) => this.#byGrant.has(grant),
      end: (grant, how) => grants.ender.endAnyway(grant, { by: 'lifeline', ...how }),
    })
    this.#ping = setInterval(() => {
      for (const lifeline of this.#all) lifeline.ping()
    }, PING_INTERVAL_SECONDS * 1000)
    grants.ender.listen({
      ended: (grant, ending) => {
        this.#graces.clear(grant)
        this.#byGrant.get(grant)?.ended(ending)
      },
      decided: (grant) => this.#byGrant.get(grant)?.decided(),
      refused: (grant, error) => {
        this.#graces.clear(grant)
        this.#byGrant.get(grant)?.refused(error)
      },
      movedAway: (grant) => {
        this.#graces.clear(grant)
        const before = this.#byGrant.get(grant)
        this.#byGrant.delete(grant)
        before?.close(LIFELINE_CLOSE.replaced)
      },
    })
  }

  /** @throws JitError `limit_reached` for one connection too many */
  admit({ sid }: Session): void {
    const held = [...this.#all].filter((lifeline) => lifeline.sid === sid).length
    if (held < MAX_PER_SESSION) return
    throw tooOften(`your session has ${held} lifelines, and no more at once`, AGAIN_S)
  }

  /** How many connections this node holds. */
  get size(): number {
    return this.#all.size
  }

  /** Takes over a connection of an authenticated session. */
  accept(socket: WebSocket, session: Session): void {
    if (this.#stopping) {
      socket.close(LIFELINE_CLOSE.restarting)
      return
    }
    const lifeline: Lifeline = new Lifeline(socket, {
      ...this.#parts,
      session,
      hold: (grant) => this.#hold(grant, lifeline),
      lost: (grant) => {
        if (!this.#byGrant.has(grant) && !this.#graces.has(grant)) this.#graces.lose(grant)
      },
      holds: (grant) => this.#byGrant.get(grant) === lifeline,
      closed: () => this.#closed(lifeline),
    })
    this.#all.add(lifeline)
  }

  #hold(grant: string, lifeline: Lifeline): void {
    this.#graces.clear(grant)
    const before = this.#byGrant.get(grant)
    this.#byGrant.set(grant, lifeline)
    if (before && before !== lifeline) before.close(LIFELINE_CLOSE.replaced)
  }

  #closed(lifeline: Lifeline): void {
    this.#all.delete(lifeline)
    const { grant } = lifeline
    if (grant === undefined || this.#byGrant.get(grant) !== lifeline) return
    this.#byGrant.delete(grant)
    if (!lifeline.over) this.#graces.lose(grant)
  }

  /** Watches over what another process left without a connection: {@link Graces.takeUp}. */
  takeUp(): Promise<void> {
    return this.#graces.takeUp()
  }

  /** Sends all clients elsewhere: this node can't keep the ledger, and others may have taken over. */
  stepAside(): void {
    for (const lifeline of this.#all) lifeline.close(LIFELINE_CLOSE.restarting)
  }

  /** Lets go of all connections; their clients come back to whoever serves next. */
  stop(): void {
    this.#stopping = true
    clearInterval(this.#ping)
    this.#graces.stop()
    this.stepAside()
    const cut = () => {
      for (const lifeline of this.#all) lifeline.terminate()
    }
    setTimeout(cut, CLOSING_MS).unref()
  }
}
