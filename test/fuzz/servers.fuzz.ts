import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { githubForge } from '../../src/broker/forge-github.ts'
import { Hook } from '../../src/broker/notifier-hook.ts'
import { send } from '../../src/lib/http.ts'
import { type PostgresUpstream, signIn } from '../../src/run/ports/postgres-upstream.ts'
import { encodeAll, encodeFatal, type Message } from '../../src/run/ports/postgres-wire.ts'
import { mutatedBytes } from './mutations.ts'
import { holds, SECRET, unlessRefused } from './property.ts'

/** Answers every connection with the same bytes, and keeps what it was sent. */
let answer: Buffer = Buffer.alloc(0)
let heard: Buffer[] = []
let server: Server
const sockets = new Set<Socket>()

beforeAll(async () => {
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (chunk) => heard.push(chunk))
    socket.once('data', () => socket.end(answer))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
})
afterAll(() => {
  for (const socket of sockets) socket.destroy()
  server.close()
})

const port = () => (server.address() as AddressInfo).port
const at = (path: string) => `http://127.0.0.1:${port()}${path}`

const http = (status: string, body: string, more = '') =>
  Buffer.from(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`,
  )
const CHUNKED = Buffer.from(
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n',
)
const LATER = http('429 Slow down', '{}', 'Retry-After: 30\r\n')

test('whatever answers in the place of a broker is an answer, or out of reach', async () => {
  await holds(mutatedBytes(http('200 OK', '{"a":1}'), LATER, CHUNKED), async (bytes) => {
    answer = bytes
    const sent = { method: 'GET', url: new URL(at('/')), timeout: 5000 } as const
    const codes = ['broker_unreachable', 'broker_failed'] as const
    const got = await unlessRefused(codes, () => send(sent))
    if (got) expect(got.status).toBeGreaterThan(0)
  })
})

test('a webhook has taken a message or not, whatever it answers, and is left alone in reason', async () => {
  const secret = Buffer.alloc(32, 7).toString('base64')
  const config = { url: at(`/${SECRET}`), secret: 'env:X', on: [] }
  const hook = new Hook('ops', config, () => secret)
  const never = new AbortController().signal
  await holds(mutatedBytes(http('200 OK', '{}'), LATER), async (bytes) => {
    answer = bytes
    const delivery = await hook.post({ id: 'm', body: '{}', at: 0 }, never)
    if (delivery.kind === 'taken') return
    expect(delivery.problem).not.toContain(SECRET)
    expect(Number.isFinite(delivery.again)).toBe(true)
  })
})

test('a forge verifies a claim or says why not, in words without its token', async () => {
  const sha = 'a'.repeat(40)
  const found = JSON.stringify({ name: 'main', protected: true, commit: { sha } })
  const ask = githubForge({ url: at(''), fetch, token: SECRET })
  const question = {
    ...{ repository: 'github.com/acme/shop', owner: 'acme', name: 'shop' },
    ...{ branch: 'main', commit: sha },
  }
  await holds(mutatedBytes(http('200 OK', found)), async (bytes) => {
    answer = bytes
    try {
      const { commitOnBranch } = await ask(question, AbortSignal.timeout(5000))
      expect(typeof commitOnBranch).toBe('boolean')
    } catch (thrown) {
      expect((thrown as Error).message).not.toContain(SECRET)
    }
  })
})

const number = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const GREETING: readonly Message[] = [
  { type: 'R', body: Buffer.concat([number(10), Buffer.from('SCRAM-SHA-256\0\0')]) },
  { type: 'R', body: Buffer.concat([number(11), Buffer.from('r=abc,s=AAAA,i=4096')]) },
  { type: 'R', body: number(3) },
  { type: 'R', body: number(0) },
  { type: 'S', body: Buffer.from('server_version\x0018\0') },
  { type: 'K', body: Buffer.concat([number(1), number(2)]) },
  { type: 'Z', body: Buffer.from('I') },
]
const GREETINGS = [
  encodeAll(GREETING),
  encodeAll(GREETING.slice(3)),
  Buffer.concat([encodeAll(GREETING.slice(0, 2)), encodeFatal('28P01', 'no')]),
  encodeFatal('57P03', 'starting up'),
]

test('whatever answers in the place of a PostgreSQL server never gets the password', async () => {
  const upstream: Omit<PostgresUpstream, 'port'> = {
    ...{ kind: 'postgres', host: '127.0.0.1', database: 'shop', user: 'jabc' },
    ...{ password: SECRET, sslmode: 'disable' },
  }
  await holds(mutatedBytes(...GREETINGS), async (bytes) => {
    answer = bytes
    heard = []
    const session = { version: 3 << 16, parameters: new Map() }
    const ends = AbortSignal.timeout(5000)
    try {
      const signed = await signIn({ ...upstream, port: port() }, session, ends)
      if ('socket' in signed) signed.socket.destroy()
    } catch (thrown) {
      expect((thrown as Error).message).not.toContain(SECRET)
    }
    expect(Buffer.concat(heard).includes(SECRET)).toBe(false)
  })
})
