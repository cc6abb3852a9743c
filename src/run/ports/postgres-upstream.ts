import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls'
import type { Upstream } from '../../protocol/delivery.ts'
import { readExactly } from './inbox.ts'
import {
  type BackendKey,
  encodeBackendKey,
  encodeParameters,
  encodeStartup,
  MESSAGE,
  type Message,
  parseBackendKey,
  REQUEST_CODES,
} from './postgres-wire.ts'
import { Refusal } from './refusal.ts'
import { authenticate } from './sign-in.ts'

export type PostgresUpstream = Extract<Upstream, { kind: 'postgres' }>

/** Milliseconds for the network and TLS. */
const CONNECT_WITHIN = 10_000
/** Bytes of one message while a connection starts; PostgreSQL's own clients take no more of an error. */
const MAX_MESSAGE = 64 * 1024
/** And of all of them, which the client gets together. */
const MAX_GREETING = 1024 * 1024

/** A connection that is signed in, and what the client is to hear of it. */
export interface SignedIn {
  readonly socket: Socket
  /** The server's messages from `AuthenticationOk` on, without its key. */
  readonly greeting: readonly Message[]
  /** Absent where the server has none: its statements can't be cancelled. */
  readonly key: BackendKey | undefined
}

/**
 * Connects and signs in with a lease.
 * @returns the server's own error message where it refuses
 * @throws Refusal, or the signal's reason; the connection is closed then
 */
export async function signIn(
  upstream: PostgresUpstream,
  session: { version: number; parameters: ReadonlyMap<string, string> },
  signal: AbortSignal,
): Promise<SignedIn | { readonly refused: readonly Message[] }> {
  const socket = await dial(upstream, signal)
  try {
    const { user, database, password } = upstream
    const parameters = new Map([...session.parameters, ['user', user], ['database', database]])
    socket.write(encodeStartup(session.version, encodeParameters(parameters)))
    let size = 0
    const next = async () => {
      const message = await readMessage(socket, signal)
      size += message.body.length
      if (size > MAX_GREETING) throw new Refusal('08P01', 'the server says too much at once')
      return message
    }
    const answer = await authenticate({ socket, password, next })
    if (answer.at(-1)?.type === MESSAGE.error) return closing(socket, answer)
    return await untilReady({ socket, next, greeting: answer })
  } catch (thrown) {
    socket.destroy()
    throw thrown
  }
}

/** Asks the server to cancel what the connection of that key does. */
export async function cancel(
  upstream: PostgresUpstream,
  key: BackendKey,
  signal: AbortSignal,
): Promise<void> {
  const socket = await dial(upstream, signal)
  try {
    socket.write(encodeStartup(REQUEST_CODES.cancel, encodeBackendKey(key)))
    socket.resume()
    // The server closes when it has signalled, and only then may the client be told.
    if (!socket.closed) await once(socket, 'close', { signal })
  } finally {
    socket.destroy()
  }
}

async function untilReady({
  socket,
  next,
  greeting,
}: {
  socket: Socket
  next: () => Promise<Message>
  greeting: Message[]
}): Promise<SignedIn | { refused: readonly Message[] }> {
  let key: BackendKey | undefined
  for (;;) {
    const message = await next()
    if (message.type === MESSAGE.backendKey) {
      key = parseBackendKey(message.body)
      return { socket, greeting, key }
    }
    greeting.push(message)
    if (message.type === MESSAGE.error) return closing(socket, greeting)
    // A pooler may have no key to give.
    if (message.type === MESSAGE.ready) return { socket, greeting, key }
  }
}

function closing(socket: Socket, refused: readonly Message[]): { refused: readonly Message[] } {
  socket.destroy()
  return { refused }
}

async function readMessage(socket: Socket, signal: AbortSignal): Promise<Message> {
  const head = await readExactly(socket, 5, signal)
  const length = head.readInt32BE(1) - 4
  if (length < 0 || length > MAX_MESSAGE) throw new Refusal('08P01', 'the server is no PostgreSQL')
  return { type: head.toString('latin1', 0, 1), body: await readExactly(socket, length, signal) }
}

/** @throws Refusal `08001` */
async function dial(upstream: PostgresUpstream, signal: AbortSignal): Promise<Socket> {
  const { host, port, sslmode } = upstream
  const within = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_WITHIN)])
  const socket = connect({ host, port, noDelay: true, keepAlive: true })
  socket.on('error', () => {})
  try {
    await once(socket, 'connect', { signal: within })
    return sslmode === 'disable' ? socket : await encrypt(socket, upstream, within)
  } catch (thrown) {
    socket.destroy()
    signal.throwIfAborted()
    throw unreachable(thrown)
  }
}

function unreachable(thrown: unknown): Refusal {
  if (thrown instanceof Refusal) return thrown
  const { code, message, name } = thrown as NodeJS.ErrnoException
  const why = name === 'AbortError' || name === 'TimeoutError' ? 'no answer' : (code ?? message)
  return new Refusal('08001', `the server can't be reached (${why})`)
}

async function encrypt(
  socket: Socket,
  upstream: PostgresUpstream,
  signal: AbortSignal,
): Promise<Socket> {
  socket.write(encodeStartup(REQUEST_CODES.ssl))
  const answer = (await readExactly(socket, 1, signal)).toString('latin1')
  if (answer !== 'S') throw new Refusal('08001', 'the server has no TLS, which the target wants')
  // What came before TLS was on could be anybody's (CVE-2021-23222).
  if (socket.readableLength > 0) throw new Refusal('08P01', 'the server sent data before TLS')
  const secure = tlsConnect({ socket, ...tlsOptions(upstream) })
  secure.on('error', () => {})
  await once(secure, 'secureConnect', { signal })
  return secure
}

/** As libpq has it: `require` with authorities of its own checks them. */
function tlsOptions({ host, sslmode, ca }: PostgresUpstream): ConnectionOptions {
  const verified = sslmode !== 'require' || ca !== undefined
  return {
    host,
    rejectUnauthorized: verified,
    ...(ca === undefined ? {} : { ca }),
    ...(isIP(host) ? {} : { servername: host }),
    ...(sslmode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
  }
}
