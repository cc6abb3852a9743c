import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Listener, listenOnLoopback } from '../../../src/run/ports/loopback.ts'
import { PostgresPort } from '../../../src/run/ports/postgres-port.ts'
import {
  encodeMessage,
  encodeParameters,
  encodeStartup,
  REQUEST_CODES,
} from '../../../src/run/ports/postgres-wire.ts'

const VERSION_3 = 3 << 16
const PASSWORD = 'canary-of-the-lease'

/** A server that does what a test has it do with what it is sent first. */
class Upstream implements AsyncDisposable {
  readonly connections = new Set<Socket>()
  readonly received: Buffer[] = []
  readonly #server: Server
  answer: (socket: Socket, startup: Buffer) => void = () => {}

  constructor() {
    this.#server = createServer((socket) => {
      this.connections.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.connections.delete(socket))
      socket.on('data', (chunk) => this.received.push(chunk))
      socket.once('data', (startup) => this.answer(socket, startup))
    })
  }

  async listen(): Promise<void> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening')
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.connections) socket.destroy()
    await new Promise((closed) => this.#server.close(closed))
  }
}

const int32 = (...numbers: number[]) => {
  const bytes = Buffer.alloc(numbers.length * 4)
  for (const [index, number] of numbers.entries()) bytes.writeInt32BE(number, index * 4)
  return bytes
}
const authentication = (kind: number) => encodeMessage({ type: 'R', body: int32(kind) })
const ready = encodeMessage({ type: 'Z', body: Buffer.from('I') })
const key = (pid: number, secret: number) => encodeMessage({ type: 'K', body: int32(pid, secret) })

let upstream: Upstream
let port: PostgresPort
let listener: Listener
let user: string

beforeEach(async () => {
  upstream = new Upstream()
  await upstream.listen()
  port = new PostgresPort()
  listener = await listenOnLoopback((socket) => port.accept(socket, Buffer.alloc(0)))
  user = open('l1')
})
afterEach(async () => {
  port.close()
  await listener.close()
  await upstream[Symbol.asyncDispose]()
})

function open(lease: string): string {
  const database = 'shop'
  const server = { host: '127.0.0.1', port: upstream.port, database, user: 'jlease' }
  const sslmode = 'disable'
  const kind = 'postgres'
  return port.open({
    lease,
    target: 'shop-db',
    upstream: { kind, ...server, password: PASSWORD, sslmode },
  })
}

const startup = (as = user, more: [string, string][] = []) =>
  encodeStartup(VERSION_3, encodeParameters(new Map([['user', as], ['database', 'shop'], ...more])))

/** What the port says to these bytes until it closes. */
async function said(bytes: Buffer): Promise<string> {
  const socket = connect(listener.port, '127.0.0.1')
  socket.on('error', () => {})
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.write(bytes)
  await once(socket, 'close')
  return text
}

describe('a client that is wrong', () => {
  test.each([
    ['a length that is none', int32(4, VERSION_3), '08P01'],
    ['too long a packet', int32(10_001, VERSION_3), '08P01'],
    ['a packet without its last zero', encodeStartup(VERSION_3, Buffer.from('user\0x')), '08P01'],
    ['protocol 2', encodeStartup(2 << 16, Buffer.from('\0')), '0A000'],
    ['no user', encodeStartup(VERSION_3, encodeParameters(new Map())), '28P01'],
  ])('is told so: %s', async (_, bytes, sqlState) => {
    expect(await said(bytes)).toMatch(new RegExp(`^E[\\s\\S]*SFATAL\\0VFATAL\\0C${sqlState}\\0`))
    expect(upstream.received).toEqual([])
  })

  test('may ask for encryption once of each kind, and is declined', async () => {
    const ssl = encodeStartup(REQUEST_CODES.ssl)
    const gss = encodeStartup(REQUEST_CODES.gssEncryption)
    expect(await said(Buffer.concat([ssl, gss, ssl]))).toMatch(/^NNE[\s\S]*08P01/)
  })

  test('cancels nothing with a key that it was not given', async () => {
    expect(await said(encodeStartup(REQUEST_CODES.cancel, int32(1, 2)))).toBe('')
    expect(upstream.received).toEqual([])
  })
})

describe('upstream', () => {
  test.each([
    ['the password itself', 3],
    ['its MD5', 5],
    ['Kerberos', 7],
  ])('gets no answer when it wants %s', async (_, kind) => {
    upstream.answer = (socket) => socket.write(authentication(kind))
    expect(await said(startup())).toContain('another way to sign in than SCRAM-SHA-256')
    expect(Buffer.concat(upstream.received).toString('latin1')).not.toContain(PASSWORD)
  })

  test('that is no PostgreSQL, or closes, is said as such', async () => {
    upstream.answer = (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
    expect(await said(startup())).toContain('the server is no PostgreSQL')
    upstream.answer = (socket) => socket.destroy()
    expect(await said(startup())).toMatch(/^E[\s\S]*Mshop-db: /)
  })

  test('that never stops talking before the sign-in is over is not listened to for long', async () => {
    const notice = encodeMessage({ type: 'N', body: Buffer.alloc(60_000, 65) })
    upstream.answer = (socket) => socket.write(Buffer.concat(Array(20).fill(notice)))
    expect(await said(startup())).toContain('says too much at once')
  })

  test('is told the lease’s user and database, and the rest as the client said it', async () => {
    upstream.answer = (socket) => socket.destroy()
    await said(startup(user, [['options', '-c role=migrator']]))
    const [first = ''] = upstream.received.map((chunk) => chunk.toString('latin1', 8))
    expect(first).toBe('user\0jlease\0database\0shop\0options\0-c role=migrator\0\0')
  })

  // Protocol 3.2 has longer ones.
  test.each([4, 32])(
    'is asked to cancel by its own key of %i bytes, which the client never sees',
    async (length) => {
      const theirs = Buffer.concat([int32(77), Buffer.alloc(length, 88)])
      upstream.answer = (socket, first) => {
        const key = encodeMessage({ type: 'K', body: theirs })
        if (first.readInt32BE(4) === REQUEST_CODES.cancel) socket.end()
        else socket.write(Buffer.concat([authentication(0), key, ready]))
      }
      const client = connect(listener.port, '127.0.0.1')
      client.write(startup())
      let greeting = Buffer.alloc(0)
      while (greeting.length < 9 + 9 + length + 6) {
        greeting = Buffer.concat([greeting, (await once(client, 'data'))[0] as Buffer])
      }
      const given = greeting.subarray(14, 18 + length)
      expect(given).not.toEqual(theirs)
      expect(greeting.subarray(18 + length)).toEqual(ready)
      await said(encodeStartup(REQUEST_CODES.cancel, given))
      const packet = encodeStartup(REQUEST_CODES.cancel, theirs)
      expect(upstream.received.at(-1)).toEqual(packet)
      client.destroy()
      await once(client, 'close')
      await expect.poll(() => upstream.connections.size).toBe(0)
      await said(encodeStartup(REQUEST_CODES.cancel, given))
      expect(upstream.received.filter((chunk) => chunk.equals(packet))).toHaveLength(1)
    },
  )

  test('is connected to a hundred times at a time for a lease at the most', async () => {
    const sockets = Array.from({ length: 100 }, () => connect(listener.port, '127.0.0.1'))
    for (const socket of sockets) socket.on('error', () => {}).write(startup())
    await expect.poll(() => upstream.connections.size).toBe(100)
    expect(await said(startup())).toContain('53300')
    const other = connect(listener.port, '127.0.0.1')
    other.write(startup(open('l2')))
    await expect.poll(() => upstream.connections.size).toBe(101)
    for (const socket of [...sockets, other]) socket.destroy()
    await expect.poll(() => upstream.connections.size).toBe(0)
  })

  test('that closes has its last bytes read, and its client let go', async () => {
    const last = Buffer.alloc(1_000_000, 'x')
    upstream.answer = (socket) => {
      socket.write(Buffer.concat([authentication(0), key(77, 88), ready]))
      socket.end(last)
    }
    const answer = await said(startup())
    expect(answer.endsWith(last.toString())).toBe(true)
  })

  test('loses those that are still signing in when the lease ends', async () => {
    const asked = Promise.withResolvers<void>()
    upstream.answer = () => asked.resolve()
    const answer = said(startup())
    await asked.promise
    port.end('l1')
    expect(await answer).toContain('57P01')
    await expect.poll(() => upstream.connections.size).toBe(0)
  })
})

test('what was read of a connection already counts as its beginning', async () => {
  const asked = Promise.withResolvers<Buffer>()
  upstream.answer = (_socket, first) => asked.resolve(first)
  const client = new PassThrough()
  const whole = startup()
  port.accept(client, whole.subarray(0, 5))
  client.write(whole.subarray(5))
  expect((await asked.promise).toString('latin1')).toContain('jlease')
  client.destroy()
})
