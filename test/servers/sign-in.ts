import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createProvider, type DevelopmentProvider } from '../../src/dev/provider.ts'
import { RESOURCE_METADATA_PATH } from '../../src/protocol/oauth.ts'

/** What a test may change while the server runs. */
export interface SignInServer {
  readonly broker: string
  readonly issuer: string
  /** Seconds of each access token. */
  tokenLifetime: number
  /** What the metadata says beside the usual. */
  identityProvider: Record<string, unknown>
  /** Answers the next exchange instead of a token. */
  refuseExchange: { status: number; body: unknown } | undefined
  /** Every exchange: the subject of the identity token, and the key of the proof. */
  readonly exchanges: { subject: string; key: string }[]
  readonly revoked: string[]
  readonly log: string[]
  close(): Promise<void>
}

/**
 * The development provider for real, and beside it the few answers of a broker that a sign-in
 * needs: for tests of what goes on before there is a session.
 */
export async function startSignInServer(): Promise<SignInServer> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const broker = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const log: string[] = []
  const provider = createProvider({ issuer: `${broker}/idp`, log: (line) => log.push(line) })
  const state: SignInServer = {
    broker,
    issuer: provider.issuer,
    tokenLifetime: 900,
    identityProvider: {},
    refuseExchange: undefined,
    exchanges: [],
    revoked: [],
    log,
    close: () => close(server, provider),
  }
  server.on('request', (request, response) => {
    if (request.url?.startsWith('/idp')) provider.handler(request, response)
    else void answer(state, request, response)
  })
  return state
}

async function close(server: Server, provider: DevelopmentProvider): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections()
  await closed
  provider.close()
}

async function answer(
  state: SignInServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = new URLSearchParams(await textOf(request))
  const reply = (status: number, value: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(value))
  }
  switch (request.url) {
    case RESOURCE_METADATA_PATH:
      return reply(200, metadataOf(state))
    case '/oauth/token':
      return exchange(state, { body, proof: String(request.headers.dpop), reply })
    case '/oauth/revoke':
      state.revoked.push(String(body.get('token')))
      return reply(200, {})
    case '/v1/whoami':
      return reply(200, {
        principal: principalOf('dev'),
        broker: state.broker,
        session_expires_at: sessionEnd(),
      })
    default:
      return reply(404, {})
  }
}

function metadataOf(state: SignInServer): unknown {
  return {
    resource: state.broker,
    authorization_servers: [state.broker],
    identity_providers: [
      {
        issuer: state.issuer,
        clients: { human: 'jit-cli', agent: 'jit-agent' },
        verification_hosts: [],
        scopes: [],
        ...state.identityProvider,
      },
    ],
  }
}

function exchange(
  state: SignInServer,
  call: { body: URLSearchParams; proof: string; reply: (status: number, value: unknown) => void },
): void {
  const { refuseExchange } = state
  if (refuseExchange) {
    call.reply(refuseExchange.status, refuseExchange.body)
    return
  }
  const { sub } = claimsOf(String(call.body.get('subject_token')), 1) as { sub: string }
  const { jwk } = claimsOf(call.proof, 0) as { jwk: { x: string } }
  state.exchanges.push({ subject: sub, key: jwk.x })
  call.reply(200, {
    access_token: randomUUID(),
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'DPoP',
    expires_in: state.tokenLifetime,
    session_expires_at: sessionEnd(),
    principal: principalOf(sub),
  })
}

function claimsOf(token: string, part: 0 | 1): unknown {
  return JSON.parse(Buffer.from(token.split('.')[part] ?? '', 'base64url').toString())
}

function principalOf(login: string) {
  return { kind: 'human', id: `127.0.0.1/${login}`, name: login, groups: [] }
}

function sessionEnd(): string {
  return new Date(Date.now() + 12 * 3600_000).toISOString()
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}
