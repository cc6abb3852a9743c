import { createServer } from 'node:http'
import { createProvider } from '../../src/dev/provider.ts'
import { listening, portOf } from './port.ts'

/** The development OIDC provider on loopback, in the test's own process: nothing happens to it. */
export async function startProvider(): Promise<AsyncDisposable & { readonly issuer: string }> {
  const server = createServer()
  await listening(server)
  const provider = createProvider({ issuer: `http://127.0.0.1:${portOf(server)}/idp` })
  server.on('request', provider.handler)
  return {
    issuer: provider.issuer,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      provider.close()
    },
  }
}
