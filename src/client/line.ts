import type { ClientRequest, IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { reasonOf, unreachable } from '../lib/http.ts'
import { tracing } from '../lib/tracing.ts'
import {
  LIFELINE_CLOSE,
  MAX_MESSAGE_BYTES,
  PING_INTERVAL_SECONDS,
  PINGS_LOST,
} from '../protocol/lifeline.ts'
import { parseJson, type Schema } from '../protocol/parse.ts'
import { requireSuccess } from './answer.ts'
import type { Authorizer } from './authorizer.ts'

/** Milliseconds until the upgrade must have succeeded. */
const HANDSHAKE_TIMEOUT = 10_000
/** Milliseconds of silence after which the broker counts as gone: it pings, and a ping may be late. */
const SILENCE = (PING_INTERVAL_SECONDS * PINGS_LOST + 1) * 1000
const LISTEN_EVERY = 1000
/** Why a connection closed, in words. */
const WHY: Readonly<Record<number, string>> = {
  // RFC 6455 section 7.1.5: no close frame came.
  1006: 'the connection broke off',
  [LIFELINE_CLOSE.overrun]: 'it cut the lifeline off: too much was sent, or too little read',
}
const MAX_PROBLEM_BYTES = 64 * 1024

/** Where a lifeline goes to, and who asks. */
export interface LineTarget {
  /** URL of the broker, without a trailing slash. */
  readonly broker: string
  readonly authorizer: Authorizer
  readonly clock: Clock
}

/** What is spoken on a line, and who listens. */
export interface LineUse<Received> {
  /** Of its endpoint at the broker. */
  readonly path: string
  /** What the broker may say. */
  readonly schema: Schema<Received>
  message(message: Received): void
  /** Once, unless this side closed it. `done`: the broker said that nothing will follow. */
  lost(why: { error: JitError; done: boolean }): void
}

/** One connection of a lifeline. */
export interface Line<Sent> {
  /** Resolves when the message has left this process, or can't any more. */
  send(message: Sent): Promise<void>
  close(): void
}

/**
 * Connects.
 * @throws JitError what the broker answered to the upgrade; `broker_unreachable`; what the authorizer throws
 */
export function openLine<Sent, Received>(
  target: LineTarget,
  use: LineUse<Received>,
): Promise<Line<Sent>> {
  const options = { kind: 'client', attributes: { 'url.path': use.path } } as const
  return tracing.during('connect', options, () => connectLine(target, use))
}

async function connectLine<Sent, Received>(
  target: LineTarget,
  use: LineUse<Received>,
): Promise<Line<Sent>> {
  const url = new URL(`${target.broker}${use.path}`)
  const headers = await target.authorizer.headers({ method: 'GET', url })
  const socket = new WebSocket(url.href.replace(/^http/, 'ws'), {
    headers: { ...headers, ...tracing.headers() },
    handshakeTimeout: HANDSHAKE_TIMEOUT,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  })
  const line = attach<Sent, Received>({ socket, url, clock: target.clock, use })
  await opened(socket, url)
  return line
}

async function opened(socket: WebSocket, url: URL): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('open', resolve)
  socket.once('error', (error) => reject(unreachable(url, reasonOf(error), error)))
  socket.once('unexpected-response', (request: ClientRequest, response: IncomingMessage) => {
    refusalOf(response)
      .then(reject, reject)
      .finally(() => request.destroy())
  })
  return promise
}

/** Why an upgrade was refused: the broker answers with a problem instead. */
async function refusalOf(response: IncomingMessage): Promise<unknown> {
  let body = ''
  for await (const chunk of response.setEncoding('utf8')) {
    body += chunk
    if (body.length > MAX_PROBLEM_BYTES) break
  }
  try {
    requireSuccess({ status: response.statusCode ?? 0, headers: response.headers, body })
  } catch (refusal) {
    return refusal
  }
  return new JitError('broker_failed', 'the broker does not speak the lifeline protocol')
}

function attach<Sent, Received>({
  socket,
  url,
  clock,
  use,
}: {
  socket: WebSocket
  url: URL
  clock: Clock
  use: LineUse<Received>
}): Line<Sent> {
  let open = false
  const stop = listenForSilence(socket, clock)
  const end = (error: JitError, done = false) => {
    stop()
    if (!open) return
    open = false
    use.lost({ error, done })
  }
  socket.once('open', () => {
    open = true
  })
  socket.on('error', (error) => end(failure(url, error)))
  socket.on('close', (code) => end(closedWith(url, code), code === LIFELINE_CLOSE.done))
  socket.on('message', (data, isBinary) => {
    if (!open) return
    const message = readMessage(use.schema, isBinary ? '' : data.toString())
    if (message instanceof JitError) {
      socket.close(LIFELINE_CLOSE.badMessage)
      end(message)
    } else {
      use.message(message)
    }
  })
  return {
    send: (message) =>
      new Promise((resolve) => socket.send(JSON.stringify(message), () => resolve())),
    close: () => {
      open = false
      stop()
      socket.terminate()
    },
  }
}

function readMessage<T>(schema: Schema<T>, text: string): T | JitError {
  const options = { what: 'lifeline message from the broker', code: 'broker_failed' } as const
  try {
    return parseJson(schema, text, options)
  } catch (thrown) {
    return JitError.from(thrown)
  }
}

/** ws names what breaks the protocol (RFC 6455), a message too large among it. */
function failure(url: URL, error: NodeJS.ErrnoException): JitError {
  if (!error.code?.startsWith('WS_ERR_')) return unreachable(url, reasonOf(error), error)
  const message = `the broker does not keep to the lifeline protocol: ${error.message}`
  return new JitError('broker_failed', message, { cause: error })
}

function closedWith(url: URL, code: number): JitError {
  if (code === LIFELINE_CLOSE.badMessage) {
    return new JitError('broker_failed', 'the broker does not understand what was sent to it')
  }
  if (code === LIFELINE_CLOSE.replaced) {
    return new JitError('grant_ended', 'another command took this grant over')
  }
  if (code === LIFELINE_CLOSE.restarting) {
    return new JitError('broker_unreachable', `the broker at ${url.origin} restarts`, {
      hint: 'try again in a moment',
    })
  }
  const why = WHY[code] ?? `it closed the lifeline (${code})`
  return unreachable(url, why, undefined)
}

/**
 * Ends a connection on which nothing was heard for too long: a broken network closes nothing. If this
 * process itself stood still meanwhile (stopped, or the machine asleep), the silence is counted anew.
 */
function listenForSilence(socket: WebSocket, clock: Clock): () => void {
  let heard = clock.monotonic()
  let looked = heard
  const hear = () => {
    heard = clock.monotonic()
  }
  for (const event of ['open', 'message', 'ping', 'pong']) socket.on(event, hear)
  const timer = setInterval(() => {
    const now = clock.monotonic()
    if (now - looked > 3 * LISTEN_EVERY) heard = now
    looked = now
    if (now - heard > SILENCE && socket.readyState === WebSocket.OPEN) socket.terminate()
  }, LISTEN_EVERY)
  return () => clearInterval(timer)
}
