import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import {
  createMitmCA,
  disposeMitmCA,
  generateCa,
} from '@anthropic-ai/sandbox-runtime/dist/sandbox/mitm-ca.js'
import { mintLeafCert } from '@anthropic-ai/sandbox-runtime/dist/sandbox/mitm-leaf.js'

export interface Issued {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** A certificate for `host` by an authority of its own, which nobody trusts yet. */
export async function issueCertificate(host: string): Promise<Issued> {
  const { certPem, keyPem } = generateCa({ cn: 'authority of the test' })
  const authority = createMitmCA({ caCertPem: certPem, caKeyPem: keyPem })
  const leaf = mintLeafCert(authority, host)
  await disposeMitmCA(authority)
  return { ca: certPem, cert: leaf.certPem, key: leaf.keyPem }
}

/** This process trusts it from now on, as if NODE_EXTRA_CA_CERTS had named it. */
export function trust(ca: string): Disposable {
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, ca])
  return { [Symbol.dispose]: () => setDefaultCACertificates(before) }
}

interface Seen {
  readonly line: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
  /** Of the connection it came on. */
  readonly connection: unknown
}

type Answer = (seen: Seen, response: ServerResponse) => void

/** An API that writes down what it was sent, and says it back unless told otherwise. */
export class Api implements AsyncDisposable {
  readonly seen: Seen[] = []
  readonly #server: Server
  readonly #scheme: string
  answer: Answer = ({ headers, body }, response) => {
    response.writeHead(200, { 'x-was-sent': headers.authorization ?? '' })
    response.end(JSON.stringify({ authorization: headers.authorization, body }))
  }

  private constructor(issued: Issued | undefined) {
    this.#scheme = issued ? 'https' : 'http'
    this.#server = issued ? createSecureServer(issued) : createServer()
    this.#server.on('request', (request, response) => void this.#serve(request, response))
  }

  static async start(issued?: Issued): Promise<Api> {
    const api = new Api(issued)
    await new Promise<void>((listening) => api.#server.listen(0, '127.0.0.1', listening))
    return api
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** By the name or address that its certificate is for. */
  url(host = '127.0.0.1'): string {
    return `${this.#scheme}://${host}:${this.port}`
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method, url, headers, socket } = request
    const body = Buffer.concat(chunks).toString()
    const seen = { line: `${method} ${url}`, headers, body, connection: socket }
    this.seen.push(seen)
    this.answer(seen, response)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((closed) => this.#server.close(closed))
  }
}
