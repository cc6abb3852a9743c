import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { HttpPort } from '../../../src/run/ports/http-port.ts'
import { type Listener, listenOnLoopback } from '../../../src/run/ports/loopback.ts'

const closing: (() => unknown)[] = []
afterEach(() => Promise.all(closing.splice(0).map((close) => close())))

/** An API that says `answer` to everything. */
async function api(answer: string): Promise<URL> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(answer))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  closing.push(() => server.close())
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

async function statusOf(url: URL, token: string): Promise<number | undefined> {
  const port = new HttpPort({ password: undefined, authority: () => Promise.reject() })
  const placeholder = port.open({ lease: 'l', url, token })
  const listener: Listener = await listenOnLoopback((socket) => port.accept(socket))
  closing.push(
    () => port.close(),
    () => listener.close(),
  )
  const headers = { host: url.host, authorization: placeholder }
  const path = url.href
  const asked = request({ host: '127.0.0.1', port: listener.port, path, headers }).end()
  const [{ statusCode }] = await once(asked, 'response')
  return statusCode
}

test('an API that answers with no status takes nothing down', async () => {
  const url = await api('HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n')
  expect(await statusOf(url, 'token')).toBe(502)
})

test('a token that fits in no header takes nothing down', async () => {
  expect(await statusOf(await api('HTTP/1.1 204 OK\r\n\r\n'), 'two\nlines')).toBe(502)
})
