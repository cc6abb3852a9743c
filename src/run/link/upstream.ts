import type { ClientRequest, IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import type { Authorizer } from '../../client/authorizer.ts'
import { reasonOf, unreachable } from '../../lib/http.ts'
import { MAX_MESSAGE_BYTES } from '../../protocol/lifeline.ts'

export const LIFELINE_PATH = '/v1/lifeline'

/** Milliseconds until the broker must have taken the upgrade: well within the grace of a lost lifeline. */
const HANDSHAKE_TIMEOUT = 5000
const MAX_PROBLEM_BYTES = 64 * 1024

/** The broker answered an upgrade with something else. */
export class UpgradeRefused extends Error {
  readonly status: number
  readonly body: string

  constructor(status: number, body: string) {
    super(`upgrade refused: ${status}`)
    this.status = status
    this.body = body
  }
}

/**
 * A lifeline to the broker in the name of the session. Its pings are answered by whoever is inside, so
 * that the broker sees whether that one is alive.
 * @throws UpgradeRefused; JitError `broker_unreachable`, what the authorizer throws
 */
export async function openUpstream({
  broker,
  authorizer,
}: {
  broker: string
  authorizer: Authorizer
}): Promise<WebSocket> {
  const url = new URL(`${broker}${LIFELINE_PATH}`)
  const headers = await authorizer.headers({ method: 'GET', url })
  const socket = new WebSocket(url.href.replace(/^http/, 'ws'), {
    headers,
    handshakeTimeout: HANDSHAKE_TIMEOUT,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    autoPong: false,
  })
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>()
  socket.once('open', () => resolve(socket))
  socket.on('error', (error) => reject(unreachable(url, reasonOf(error), error)))
  socket.once('unexpected-response', (request: ClientRequest, response: IncomingMessage) => {
    bodyOf(response)
      .then((body) => reject(new UpgradeRefused(response.statusCode ?? 503, body)), reject)
      .finally(() => request.destroy())
  })
  return promise
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of response.setEncoding('utf8')) {
    body += chunk
    if (body.length > MAX_PROBLEM_BYTES) break
  }
  return body
}
