import type { WebSocket } from 'ws'
import { LIFELINE_CLOSE, PING_INTERVAL_SECONDS } from '../protocol/lifeline.ts'
import { Lifeline, type LifelineParts } from './lifeline.ts'
import type { Session } from './sessions.ts'

/** How many connections one session may hold. */
const MAX_PER_SESSION = 200
/** How long a client may take to answer that its connection is closed, in milliseconds. */
const CLOSING_MS = 1000

type Parts = Omit<LifelineParts, 'session' | 'hold' | 'holds' | 'lost' | 'closed'>

/** The lifelines of this node: who holds which grant, and the grace of those that lost theirs. */
export class Lifelines {
  readonly #parts: Parts
  readonly #byGrant = new Map<string, Lifeline>()
  readonly #all = new Set<Lifeline>()
  readonly #graces = new Map<string, NodeJS.Timeout>()
  readonly #ping: NodeJS.Timeout
  #stopping = false

  constructor(parts: Parts) {
    this.#parts = parts
    this.#ping = setInterval(() => {
      for (const lifeline of this.#all) lifeline.ping()
    }, PING_INTERVAL_SECONDS * 1000)
    parts.grants.listen({
      ended: (grant, { by, reason }) => {
        this.#clearGrace(grant)
        this.#byGrant.get(grant)?.ended(by, reason)
      },
      decided: (grant) => this.#byGrant.get(grant)?.decided(),
      refused: (grant, error) => {
        this.#clearGrace(grant)
        this.#byGrant.get(grant)?.refused(error)
      },
    })
  }

  /** Takes over a connection of an authenticated session. */
  accept(socket: WebSocket, session: Session): void {
    const held = [...this.#all].filter(({ sid }) => sid === session.sid).length
    if (held >= MAX_PER_SESSION) {
      socket.close(LIFELINE_CLOSE.tooMany)
      return
    }
    const lifeline: Lifeline = new Lifeline(socket, {
      ...this.#parts,
      session,
      hold: (grant) => this.#hold(grant, lifeline),
      lost: (grant) => {
        if (!this.#byGrant.has(grant) && !this.#graces.has(grant)) this.await(grant)
      },
      holds: (grant) => this.#byGrant.get(grant) === lifeline,
      closed: () => this.#closed(lifeline),
    })
    this.#all.add(lifeline)
  }

  #hold(grant: string, lifeline: Lifeline): void {
    this.#clearGrace(grant)
    const before = this.#byGrant.get(grant)
    this.#byGrant.set(grant, lifeline)
    if (before && before !== lifeline) before.close(LIFELINE_CLOSE.replaced)
  }

  #closed(lifeline: Lifeline): void {
    this.#all.delete(lifeline)
    const { grant } = lifeline
    if (grant === undefined || this.#byGrant.get(grant) !== lifeline) return
    this.#byGrant.delete(grant)
    if (!lifeline.over && !this.#stopping) this.await(grant)
  }

  /** Gives a grant without a lifeline the grace to find one. */
  await(grant: string): void {
    this.#clearGrace(grant)
    const end = () => {
      this.#graces.delete(grant)
      this.#parts.grants.endAnyway(grant, { by: 'lifeline' }).catch((thrown: unknown) => {
        this.#parts.log.warn('a lost lifeline could not be recorded', {
          grant,
          reason: String(thrown),
        })
        // Deny on doubt: it is tried until it is recorded.
        this.await(grant)
      })
    }
    this.#graces.set(grant, setTimeout(end, this.#parts.config.lifeline.grace * 1000))
  }

  #clearGrace(grant: string): void {
    clearTimeout(this.#graces.get(grant))
    this.#graces.delete(grant)
  }

  /** Lets go of all connections; their clients come back to whoever serves next. */
  stop(): void {
    this.#stopping = true
    clearInterval(this.#ping)
    for (const timer of this.#graces.values()) clearTimeout(timer)
    for (const lifeline of this.#all) lifeline.close(LIFELINE_CLOSE.restarting)
    const cut = () => {
      for (const lifeline of this.#all) lifeline.terminate()
    }
    setTimeout(cut, CLOSING_MS).unref()
  }
}
