import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

type Answer = { status?: number; body: Record<string, unknown> } | 'cut'

/** An identity provider that says what it is told to, for what a real one says only in bad weather. */
export class ScriptedProvider implements AsyncDisposable {
  readonly issuer: string
  /** Beside the usual answer to a device that asks to sign someone in. */
  device: Record<string, unknown> = {}
  /** Answers of the token endpoint, in order; the last one repeats. */
  tokens: Answer[] = []
  /** Every form that arrived, by its path. */
  readonly asked: { path: string; form: URLSearchParams; at: number }[] = []
  readonly #server: Server

  static async start(): Promise<ScriptedProvider> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new ScriptedProvider(server)
  }

  private constructor(server: Server) {
    this.#server = server
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('request', async (request, response) => {
      let text = ''
      for await (const chunk of request) text += String(chunk)
      const path = request.url ?? ''
      if (text) this.asked.push({ path, form: new URLSearchParams(text), at: performance.now() })
      const answer = this.#answerTo(path)
      if (answer === 'cut') {
        response.destroy()
        return
      }
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(answer.body))
    })
  }

  /** An identity token for `dev`, signed by nobody: over a direct connection the client doesn't ask. */
  idToken(): string {
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: this.issuer, aud: 'jit-cli', sub: 'dev', iat: now, exp: now + 300 }
    return `${encode({ alg: 'ES256' })}.${encode(claims)}.c2ln`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #answerTo(path: string): Answer {
    const { issuer } = this
    if (path === '/.well-known/openid-configuration') {
      return {
        body: {
          issuer,
          token_endpoint: `${issuer}/token`,
          device_authorization_endpoint: `${issuer}/device`,
          id_token_signing_alg_values_supported: ['ES256'],
        },
      }
    }
    if (path === '/device') {
      return {
        body: {
          device_code: 'device',
          user_code: 'ABCD-EFGH',
          verification_uri: `${issuer}/confirm`,
          expires_in: 60,
          interval: 0.05,
          ...this.device,
        },
      }
    }
    const next = this.tokens.length > 1 ? this.tokens.shift() : this.tokens[0]
    return next ?? { status: 404, body: {} }
  }
}
