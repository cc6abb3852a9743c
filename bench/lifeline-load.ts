/**
 * Grant cycles against a broker, in a process of its own: a lifeline is opened, a grant asked for,
 * received and released, until the receipt says `revoked`. Lighter than `jit` itself, because it
 * shares the machine with the broker it measures.
 */
import { randomUUID } from 'node:crypto'
import { WebSocket } from 'ws'
import { createProof } from '../src/auth/proof.ts'
import { readSession, type StoredSession } from '../src/auth/session.ts'
import { openKeystore } from '../src/keystore/open.ts'
import { pathsFrom } from '../src/lib/paths.ts'
import type { ClientMessage, ServerMessage } from '../src/protocol/lifeline.ts'
import { AUTHORIZATION_TYPE, type GrantRequest } from '../src/protocol/request.ts'
import { readLoad, repeat } from './load.ts'

const DETAILS: GrantRequest['details'] = {
  type: AUTHORIZATION_TYPE,
  environment: 'dev',
  task: 'deploy',
  targets: ['dev-db'],
  break_glass: false,
  reason: '',
  ticket: '',
  labels: {},
  claimed: {
    repository: 'github.com/acme/shop',
    branch: 'main',
    commit: 'b1c8f0a9d7e6c5b4a39281706f5e4d3c2b1a0f9e',
    dirty: false,
  },
  command: { argv: ['true'], directory: '/src', executable: '/usr/bin/true' },
}

async function signedIn(): Promise<StoredSession> {
  const { env } = process
  const keystore = await openKeystore({ env, paths: pathsFrom(env) })
  const session = await readSession(keystore, { broker: env.JIT_BROKER ?? '' })
  if (!session) throw new Error('not signed in')
  return session
}

function connect({ broker, access_token: accessToken, jwk }: StoredSession): WebSocket {
  const url = new URL(`${broker}/v1/lifeline`)
  const dpop = createProof(jwk, { method: 'GET', url, accessToken, now: Date.now() })
  const headers = { authorization: `DPoP ${accessToken}`, dpop }
  return new WebSocket(url.href.replace(/^http/, 'ws'), { headers, perMessageDeflate: false })
}

function cycle(session: StoredSession): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = connect(session)
  const send = (message: ClientMessage) => socket.send(JSON.stringify(message))
  socket.on('error', reject)
  socket.on('open', () => send({ type: 'request', key: randomUUID(), details: DETAILS }))
  socket.on('message', (data) => {
    const message = JSON.parse(String(data)) as ServerMessage
    if (message.type === 'granted') {
      send({ type: 'received', grant: message.grant })
      send({ type: 'release', grant: message.grant, outcome: { code: 0, signal: null } })
    } else if (message.type === 'released') {
      const revoked = message.receipt.leases.every(({ outcome }) => outcome === 'revoked')
      if (revoked) resolve()
      else reject(new Error(JSON.stringify(message.receipt)))
    } else if (message.type !== 'requested') {
      reject(new Error(JSON.stringify(message)))
    }
  })
  return promise
}

const session = await signedIn()
const result = await repeat(() => cycle(session), readLoad(process.argv.slice(2)))
process.stdout.write(JSON.stringify(result))
