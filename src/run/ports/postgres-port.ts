import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { CancelKeys } from './cancel-keys.ts'
import { closeWith } from './last-words.ts'
import { PostgresSession } from './postgres-session.ts'
import { readStartup, type Startup } from './postgres-startup.ts'
import { cancel, type PostgresUpstream, type SignedIn, signIn } from './postgres-upstream.ts'
import {
  encodeAll,
  encodeBackendKey,
  encodeFatal,
  encodeMessage,
  MESSAGE,
} from './postgres-wire.ts'
import { Refusal } from './refusal.ts'

/** Connections of one lease at a time. */
const MAX_CONNECTIONS = 100
/** Connections that haven't said yet whose they are. */
const MAX_STARTING = 100
/** Milliseconds for a client to say what it wants. */
const STARTUP_WITHIN = 10_000
/** Milliseconds to sign in upstream: the server's own limit, unless it was given another. */
const SIGN_IN_WITHIN = 60_000
const CANCEL_WITHIN = 10_000

const ENDED = 'terminating connection: the grant of this credential has ended'

interface Lease {
  readonly id: string
  readonly target: string
  readonly upstream: PostgresUpstream
  readonly ended: AbortController
  /** Signing in, and signed in. */
  connections: number
  readonly sessions: Set<PostgresSession>
}

/** A connection, and whether it is still there. */
interface Guest {
  readonly client: Duplex
  readonly gone: AbortSignal
}

type Session = Extract<Startup, { kind: 'session' }>

/**
 * Speaks PostgreSQL to clients that have no password: the name of the user says which lease they use,
 * the sign-in happens upstream, and from then on bytes are passed.
 */
export class PostgresPort {
  readonly #leases = new Map<string, Lease>()
  readonly #keys = new CancelKeys()
  readonly #closed = new AbortController()
  #starting = 0

  /** @returns the user to connect as: 128 random bits, so that only who was told gets in */
  open({
    lease,
    target,
    upstream,
  }: {
    lease: string
    target: string
    upstream: PostgresUpstream
  }): string {
    const user = `jit${randomBytes(16).toString('hex')}`
    const ended = new AbortController()
    const sessions = new Set<PostgresSession>()
    this.#leases.set(user, { id: lease, target, upstream, ended, connections: 0, sessions })
    return user
  }

  /** @param head what was read of it already */
  accept(client: Duplex, head: Buffer): void {
    client.on('error', () => {})
    if (head.length > 0) client.unshift(head)
    void this.#serve(client).catch((thrown) => refuse(client, thrown))
  }

  /** Ends the lease's connections; new ones find no lease. */
  end(lease: string): void {
    for (const [user, entry] of this.#leases) {
      if (entry.id !== lease) continue
      this.#leases.delete(user)
      entry.ended.abort(new Refusal('57P01', ENDED))
      for (const session of entry.sessions) session.end(ENDED)
    }
  }

  close(): void {
    for (const { id } of [...this.#leases.values()]) this.end(id)
    this.#closed.abort(new Refusal('57P01', ENDED))
  }

  async #serve(client: Duplex): Promise<void> {
    const gone = new AbortController()
    client.once('close', () => gone.abort(new Refusal('08006', 'closed')))
    const guest = { client, gone: gone.signal }
    const startup = await this.#readStartup(guest)
    if (startup.kind === 'session') return this.#serveSession(guest, startup)
    const found = this.#keys.find(startup.key)
    if (found) await cancel(found.upstream, found.key, AbortSignal.timeout(CANCEL_WITHIN))
    // Known or not, PostgreSQL closes without a word.
    closeWith(Buffer.alloc(0), client)
  }

  async #readStartup({ client, gone }: Guest): Promise<Startup> {
    if (this.#starting >= MAX_STARTING) throw new Refusal('53300', 'too many connections start')
    this.#starting += 1
    try {
      return await readStartup(client, this.#within(gone, STARTUP_WITHIN))
    } finally {
      this.#starting -= 1
    }
  }

  async #serveSession(guest: Guest, { version, parameters }: Session): Promise<void> {
    const { client, gone } = guest
    gone.throwIfAborted()
    const lease = this.#leaseOf(parameters)
    lease.connections += 1
    gone.addEventListener('abort', () => {
      lease.connections -= 1
    })
    const signal = AbortSignal.any([lease.ended.signal, this.#within(gone, SIGN_IN_WITHIN)])
    const answer = await signIn(lease.upstream, { version, parameters }, signal).catch((thrown) => {
      throw named(thrown, lease.target)
    })
    if ('refused' in answer) closeWith(encodeAll(answer.refused), client)
    else this.#pass(guest, lease, answer)
  }

  #pass({ client, gone }: Guest, lease: Lease, { socket, greeting, key: theirs }: SignedIn): void {
    const over = AbortSignal.any([lease.ended.signal, gone])
    if (over.aborted) {
      socket.destroy()
      throw over.reason
    }
    client.write(encodeAll(greeting))
    if (theirs) {
      const key = this.#keys.add({ upstream: lease.upstream, key: theirs })
      gone.addEventListener('abort', () => this.#keys.remove(key))
      client.write(encodeMessage({ type: MESSAGE.backendKey, body: encodeBackendKey(key) }))
    }
    const session = new PostgresSession(client, socket)
    lease.sessions.add(session)
    gone.addEventListener('abort', () => lease.sessions.delete(session))
  }

  #leaseOf(parameters: ReadonlyMap<string, string>): Lease {
    const user = parameters.get('user') ?? ''
    const lease = this.#leases.get(user)
    if (!lease) throw new Refusal('28P01', 'no live grant has this user: it may have ended')
    if (lease.connections >= MAX_CONNECTIONS) {
      throw new Refusal(
        '53300',
        `${lease.target}: at most ${MAX_CONNECTIONS} connections at a time`,
      )
    }
    const wanted = parameters.get('database') ?? user
    const { database } = lease.upstream
    // What libpq asks for when it is told no database is the user's name.
    if (wanted !== database && wanted !== user) {
      throw new Refusal('3D000', `${lease.target}: the grant is for database "${database}" alone`)
    }
    return lease
  }

  /** Aborted when the time is over, the client gone or the port closed. */
  #within(gone: AbortSignal, milliseconds: number): AbortSignal {
    return AbortSignal.any([this.#closed.signal, gone, AbortSignal.timeout(milliseconds)])
  }
}

function refuse(client: Duplex, thrown: unknown): void {
  const { sqlState, message } = refusalOf(thrown)
  closeWith(encodeFatal(sqlState, message), client)
}

function named(thrown: unknown, target: string): Refusal {
  const { sqlState, message } = refusalOf(thrown)
  return new Refusal(sqlState, `${target}: ${message}`)
}

/** What isn't foreseen keeps its words to itself. */
function refusalOf(thrown: unknown): Refusal {
  if (thrown instanceof Refusal) return thrown
  const { name, message } = thrown as Error
  if (name === 'TimeoutError') return new Refusal('08006', 'no answer in time')
  if (message.startsWith('SASL: ')) return new Refusal('28000', message)
  return new Refusal('08006', 'the connection was lost')
}
