import { once } from 'node:events'
import { type IncomingMessage, request as send } from 'node:http'
import { connect, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { LIFELINE_CLOSE } from '../../src/protocol/lifeline.ts'
import { Harness, type TestClient, type TestLifeline } from './harness.ts'

const METADATA = '/.well-known/oauth-protected-resource'

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** One request, from an address of loopback, on a connection of its own. */
async function ask(
  harness: Harness,
  { path = METADATA, from = '127.0.0.1', headers = {}, method = 'GET' } = {},
): Promise<Answer> {
  const options = { localAddress: from, agent: false, headers, method } as const
  const [response] = (await once(send(new URL(path, harness.url), options).end(), 'response')) as [
    IncomingMessage,
  ]
  let body = ''
  for await (const chunk of response.setEncoding('utf8')) body += chunk
  return { status: response.statusCode ?? 0, headers: response.headers, body }
}

const statuses = async (answers: readonly Promise<Answer>[]) =>
  (await Promise.all(answers)).map(({ status }) => status)

const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)

/** A bare connection, and all that comes on it until its end. */
async function raw(harness: Harness, text: string): Promise<string> {
  const socket = await open(harness)
  socket.write(text)
  let answer = ''
  for await (const chunk of socket.setEncoding('utf8')) answer += chunk
  return answer
}

async function open(harness: Harness, from = '127.0.0.1'): Promise<Socket> {
  const { port } = new URL(harness.url)
  const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: from })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** What a client that wants a lifeline is refused with. */
async function refusedLine(harness: Harness, client: TestClient): Promise<Answer> {
  const headers = { ...client.headers('GET', '/v1/lifeline'), connection: 'Upgrade' }
  const upgrade = { upgrade: 'websocket', 'sec-websocket-version': '13' }
  const key = { 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' }
  return ask(harness, { path: '/v1/lifeline', headers: { ...headers, ...upgrade, ...key } })
}

describe('requests that nobody stands behind', () => {
  test('are refused past a number by address, with when to come again; another address is not', async () => {
    await using harness = await Harness.start({ limits: 'limits: { requests_per_address: 5 }' })
    for (let count = 0; count < 5; count += 1) expect((await ask(harness)).status).toBe(200)
    const refused = await ask(harness)
    expect(refused.status).toBe(429)
    expect(refused.headers['content-type']).toBe('application/problem+json')
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
    expect(JSON.parse(refused.body)).toMatchObject({
      ...{ type: '/problems/limit_reached', code: 'limit_reached', status: 429 },
      retry_after: Number(refused.headers['retry-after']),
    })
    const token = await ask(harness, { path: '/oauth/token', method: 'POST' })
    expect(JSON.parse(token.body)).toMatchObject({
      ...{ error: 'temporarily_unavailable', code: 'limit_reached' },
    })
    expect((await ask(harness, { path: '/ssf/events', method: 'POST' })).status).toBe(429)
    expect((await ask(harness, { path: '/healthz' })).status).toBe(200)
    expect((await ask(harness, { from: '127.0.0.2' })).status).toBe(200)
  })

  test('count for upgrades too, and those that come with a token of nobody', async () => {
    await using harness = await Harness.start({ limits: 'limits: { requests_per_address: 8 }' })
    const stranger = (await harness.client()) as TestClient
    stranger.accessToken = 'nobody'
    const lines = await Promise.all(times(10, () => refusedLine(harness, stranger)))
    expect(lines.filter(({ status }) => status === 401).length).toBeGreaterThanOrEqual(7)
    const over = lines.find(({ status }) => status === 429)
    expect(Number(over?.headers['retry-after'])).toBeGreaterThan(0)
    expect(JSON.parse(over?.body ?? '')).toMatchObject({ code: 'limit_reached' })
  })

  test('those of people, and of APIs that introspect, take nothing from their address', async () => {
    await using harness = await Harness.start({ limits: 'limits: { requests_per_address: 10 }' })
    const [one, other] = [await harness.client(), await harness.client({ sub: 'other' })]
    const api = `Basic ${Buffer.from('api:introspection-secret').toString('base64')}`
    for (let count = 0; count < 20; count += 1) {
      expect((await one.call('GET', '/v1/whoami')).status).toBe(200)
      expect((await other.call('GET', '/v1/grants')).status).toBe(200)
      const introspected = await fetch(`${harness.url}/grants/introspect`, {
        ...{ method: 'POST', headers: { authorization: api } },
        body: new URLSearchParams({ token: 'x' }),
      })
      expect(await introspected.json()).toEqual({ active: false })
    }
    expect((await ask(harness)).status).toBe(200)
  })
})

describe('behind a proxy', () => {
  const limits = 'limits: { requests_per_address: 5 }\ntrusted_proxies: [127.0.0.1]'

  test('each client has limits of its own, whatever it writes before its address', async () => {
    await using harness = await Harness.start({ limits })
    const from = (forwarded: string) => ask(harness, { headers: { 'x-forwarded-for': forwarded } })
    const flood = times(20, () => from(`203.0.113.${Math.random()}, 198.51.100.1`))
    expect((await statuses(flood)).filter((status) => status === 200).length).toBeLessThan(20)
    expect((await from('198.51.100.2')).status).toBe(200)
  })

  test('who is no proxy gets around nothing by naming others', async () => {
    await using harness = await Harness.start({ limits })
    let client = 0
    const flood = times(20, () => {
      client += 1
      const headers = { 'x-forwarded-for': `198.51.100.${client}` }
      return ask(harness, { from: '127.0.0.3', headers })
    })
    expect((await statuses(flood)).filter((status) => status === 429).length).toBeGreaterThan(0)
    expect(harness.log.filter((line) => line.includes('trusted_proxies'))).toHaveLength(1)
  })

  test('a client has as many lifelines as an address has connections', async () => {
    await using harness = await Harness.start({
      limits: 'limits: { connections_per_address: 2 }\ntrusted_proxies: [127.0.0.1]',
    })
    const client = await harness.client()
    const line = (address: string) =>
      client.connect({
        ...client.headers('GET', '/v1/lifeline'),
        'x-forwarded-for': address,
      } as Record<string, string>)
    const first = await line('198.51.100.1')
    await line('198.51.100.1')
    await expect(line('198.51.100.1')).rejects.toThrow('429')
    await line('198.51.100.2')
    first.cut()
    await expect
      .poll(() =>
        line('198.51.100.1').then(
          () => true,
          () => false,
        ),
      )
      .toBe(true)
  })
})

describe('a principal', () => {
  const limits = 'limits: { requests_per_principal: 10 }'

  test('is refused past a number of requests, in all its sessions; others at the same address are not', async () => {
    await using harness = await Harness.start({ limits })
    const [one, again] = [await harness.client(), await harness.client()]
    const other = await harness.client({ sub: 'other' })
    const answers = await Promise.all(
      times(10, () => [one.call('GET', '/v1/whoami'), again.call('GET', '/v1/whoami')]).flat(),
    )
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused[0]?.body).toMatchObject({ code: 'limit_reached' })
    expect((await other.call('GET', '/v1/whoami')).status).toBe(200)
  })

  test('that says too much on a lifeline is cut off, may not come back at once, and others go on', async () => {
    await using harness = await Harness.start({ limits })
    const other = await (await harness.client({ sub: 'other' })).grant()
    const client = await harness.client()
    const { line, granted } = await client.grant()
    for (let count = 0; count < 12; count += 1) {
      line.send({ type: 'suspend', grant: granted.grant })
      await new Promise(setImmediate)
    }
    expect(await line.closed).toBe(LIFELINE_CLOSE.overrun)
    const refused = await refusedLine(harness, client)
    expect(refused).toMatchObject({ status: 429 })
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
    expect(other.line.socket.readyState).toBe(WebSocket.OPEN)
  })
})

describe('connections', () => {
  test('past those of an address are told so and closed; another address gets in', async () => {
    await using harness = await Harness.start({ limits: 'limits: { connections_per_address: 3 }' })
    const held = await Promise.all(times(3, () => open(harness, '127.0.0.2')))
    const refused = await ask(harness, { from: '127.0.0.2', path: '/healthz' })
    expect(refused).toMatchObject({ status: 429, headers: { connection: 'close' } })
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'limit_reached', retry_after: 5 })
    expect((await ask(harness, { path: '/healthz' })).status).toBe(200)
    for (const socket of held) socket.destroy()
    await expect
      .poll(async () => (await ask(harness, { from: '127.0.0.2', path: '/healthz' })).status)
      .toBe(200)
  })

  test('far past them are closed at once: there is no end of those that could be told', async () => {
    await using harness = await Harness.start({ limits: 'limits: { connections_per_address: 3 }' })
    const flood = await Promise.all(times(60, () => open(harness, '127.0.0.2')))
    const closed = () => flood.filter((socket) => socket.closed).length
    for (const socket of flood) socket.resume()
    await expect.poll(closed).toBe(60 - 3 - 16)
    for (const socket of flood) socket.destroy()
  })

  test('whose client asks and never reads is cut off; others go on', async () => {
    await using harness = await Harness.start({
      limits: 'limits: { requests_per_principal: 1000000 }',
    })
    const other = await (await harness.client({ sub: 'other' })).grant()
    const line = await (await harness.client()).connect()
    const cut = flooded(line)
    expect(await cut).toBeLessThan(1_000_000)
    expect(other.line.socket.readyState).toBe(WebSocket.OPEN)
  })

  test('that carry no HTTP, or too large a head, get a problem and are closed', async () => {
    await using harness = await Harness.start()
    const problem = (answer: string) => JSON.parse(answer.split('\r\n\r\n')[1] ?? '')
    const nonsense = await raw(harness, 'hello\r\n\r\n')
    expect(nonsense).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    expect(problem(nonsense)).toMatchObject({ code: 'request_invalid' })
    const large = await raw(harness, `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)
    expect(large).toMatch(/^HTTP\/1\.1 431 /)
    expect(problem(large)).toMatchObject({ code: 'request_invalid', status: 431 })
  })
})

/** Pings without reading the answers until the connection is cut. @returns how many were sent */
async function flooded({ socket, closed }: TestLifeline): Promise<number> {
  socket.pause()
  let sent = 0
  let over = false
  void closed.then(() => {
    over = true
  })
  while (!over && sent < 1_000_000) {
    for (let count = 0; count < 1000; count += 1) socket.ping('x'.repeat(125), true, () => {})
    sent += 1000
    // What comes to light here is that the connection is gone, by the failure to write.
    await new Promise((resolve) => setTimeout(resolve, 1))
    if (socket.readyState !== WebSocket.OPEN) break
  }
  socket.resume()
  await closed
  return sent
}
