import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { send } from '../../src/lib/http.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close()
    server.closeAllConnections()
  }
})

async function serve(listener: RequestListener): Promise<URL> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/thing`)
}

test('sends headers and body, and gives status and text back', async () => {
  const url = await serve(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    response.writeHead(418).end(`${request.method} ${request.url} ${request.headers.dpop} ${body}`)
  })
  const answer = await send({ method: 'POST', url, headers: { dpop: 'proof' }, body: 'é' })
  expect(answer).toMatchObject({ status: 418, body: 'POST /v1/thing proof é' })
})

test('follows no redirect: a token goes nowhere else', async () => {
  let asked = 0
  const url = await serve((_, response) => {
    asked += 1
    response.writeHead(302, { location: '/elsewhere' }).end()
  })
  expect((await send({ method: 'GET', url })).status).toBe(302)
  expect(asked).toBe(1)
})

test('a broker that isn’t there is out of reach, with a way on', async () => {
  const url = await serve(() => {})
  servers.pop()?.close()
  await expect(send({ method: 'GET', url })).rejects.toMatchObject({
    code: 'broker_unreachable',
    message: `can't reach the broker at ${url.origin}: nothing listens there`,
    hint: expect.stringContaining('JIT_BROKER'),
  })
})

test('one that never answers is given up', async () => {
  const url = await serve(() => {})
  await expect(send({ method: 'GET', url, timeout: 50 })).rejects.toMatchObject({
    code: 'broker_unreachable',
    message: expect.stringContaining('does not answer'),
  })
})

test('one that stops in the middle of its answer is out of reach', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{"half"')
    setTimeout(() => response.destroy(), 10)
  })
  await expect(send({ method: 'GET', url })).rejects.toMatchObject({ code: 'broker_unreachable' })
})

test('an answer without end is cut', async () => {
  const url = await serve((_, response) => {
    const timer = setInterval(() => response.write('x'.repeat(1000)), 1)
    response.on('close', () => clearInterval(timer))
  })
  await expect(send({ method: 'GET', url, maxBytes: 10_000 })).rejects.toMatchObject({
    code: 'broker_failed',
    message: 'the answer is larger than 10000 bytes',
  })
})

test('Ctrl-C is no broker out of reach', async () => {
  const url = await serve(() => {})
  const cancelled = new AbortController()
  const answer = send({ method: 'GET', url, signal: cancelled.signal })
  cancelled.abort()
  await expect(answer).rejects.toMatchObject({ code: 'cancelled' })
})

test('a plain server asked for TLS is told apart, in our words', async () => {
  const plain = await serve(() => {})
  const url = new URL(plain.href.replace('http:', 'https:'))
  await expect(send({ method: 'GET', url })).rejects.toMatchObject({
    code: 'broker_unreachable',
    message: `can't reach the broker at ${url.origin}: it does not speak TLS`,
    hint: `did you mean ${plain.origin}?`,
  })
})

test('a server that doesn’t speak HTTP is told apart', async () => {
  const server = createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  await expect(send({ method: 'GET', url })).rejects.toMatchObject({
    message: expect.stringContaining('it does not answer in HTTP'),
  })
  server.close()
})
