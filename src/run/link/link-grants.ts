import type { Clock } from '../../lib/clock.ts'
import type { DeliveredCredential, ServerMessage } from '../../protocol/lifeline.ts'
import { Deadline } from '../deadline.ts'
import type { Ports } from '../ports/ports.ts'

/** How many grants are remembered: more than a session may ask for in its time. */
const MOST = 10_000

type Handover = Extract<ServerMessage, { type: 'granted' | 'resumed' }>

/** Ports that are open for one grant. */
interface Open {
  readonly leases: Set<string>
  readonly deadline: Deadline
  readonly over: AbortController
  /** Milliseconds that a lost lifeline may take to come back. */
  readonly grace: number
  lost: NodeJS.Timeout | undefined
}

/**
 * The grants that were asked for over one link, and the ports that their credentials are used through.
 * A port ends with its grant: at its deadline, by the broker's word, or when its lifeline is gone for
 * longer than the broker itself would wait. While a command inside finds the broker out of reach,
 * the deadline alone ends it.
 */
export class LinkGrants {
  readonly #ports: Pick<Ports, 'deliver' | 'end'>
  readonly #clock: Clock
  readonly #known = new Set<string>()
  readonly #open = new Map<string, Open>()

  constructor(ports: Pick<Ports, 'deliver' | 'end'>, clock: Clock) {
    this.#ports = ports
    this.#clock = clock
  }

  /** Whether it was asked for from inside this sandbox: others of the same agent are none of its business. */
  has(id: string): boolean {
    return this.#known.has(id)
  }

  learn(id: string): void {
    this.#known.add(id)
    const [oldest] = this.#known
    if (this.#known.size > MOST && oldest !== undefined) this.#known.delete(oldest)
  }

  /** What of a handover may go inside: nothing that a port holds. */
  async handOver<T extends Handover>(message: T): Promise<T> {
    const { grant, expires_at, credentials } = message
    const before = this.#found(grant, message)
    // New ones are made because those before never arrived: these are revoked.
    if (credentials.length > 0) await Promise.all(before.map((lease) => this.#ports.end(lease)))
    const delivered: DeliveredCredential[] = []
    for (const credential of credentials) {
      if (credential.upstream) this.#opened(grant, credential.lease)
      const { upstream: _, ...rest } = await this.#ports.deliver(credential)
      delivered.push(rest)
    }
    this.moved(grant, expires_at)
    return { ...message, credentials: delivered }
  }

  /** @param expiresAt RFC 3339 */
  moved(grant: string, expiresAt: string): void {
    this.#open.get(grant)?.deadline.move(expiresAt)
  }

  /** Its lifeline is gone: another may take it over within the grace. */
  lost(grant: string): void {
    const open = this.#open.get(grant)
    if (!open) return
    clearTimeout(open.lost)
    open.lost = setTimeout(() => void this.end(grant), open.grace).unref()
  }

  /** The broker can't be reached, so nobody can take over what is lost: the grace begins anew. */
  away(): void {
    for (const [grant, { lost }] of this.#open) if (lost) this.lost(grant)
  }

  /** It is over: the connections that were made with it end. */
  async end(grant: string): Promise<void> {
    const open = this.#open.get(grant)
    if (!open) return
    this.#open.delete(grant)
    open.over.abort()
    clearTimeout(open.lost)
    await Promise.all([...open.leases].map((lease) => this.#ports.end(lease)))
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((grant) => this.end(grant)))
  }

  /** From a lifeline that holds the grant now. @returns the leases that it had */
  #found(grant: string, { grace, expires_at }: Handover): string[] {
    this.learn(grant)
    const open = this.#open.get(grant)
    if (open) {
      clearTimeout(open.lost)
      open.lost = undefined
      return [...open.leases]
    }
    const deadline = new Deadline(expires_at, this.#clock)
    const over = new AbortController()
    const leases = new Set<string>()
    this.#open.set(grant, { leases, deadline, over, grace: grace * 1000, lost: undefined })
    void deadline.passed(over.signal).then(() => this.end(grant))
    return []
  }

  #opened(grant: string, lease: string): void {
    this.#open.get(grant)?.leases.add(lease)
  }
}
