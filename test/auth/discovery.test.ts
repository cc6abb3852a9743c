import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { checkVerificationAddress } from '../../src/auth/device.ts'
import { brokerUrl, chooseProvider, discoverProviders } from '../../src/auth/discovery.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** A broker that answers with the metadata that `make` gives for its address. */
async function broker(make: (url: string) => unknown, status = 200): Promise<string> {
  const server = createServer((request, response) => {
    const known = request.url?.startsWith('/.well-known/oauth-protected-resource')
    response
      .writeHead(known ? status : 404, { 'content-type': 'application/json' })
      .end(JSON.stringify(make(url)))
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return url
}

const metadata = (
  resource: string,
  issuer = 'https://idp.acme.dev',
  clients: object = { human: 'jit-cli' },
) => ({
  resource,
  authorization_servers: [resource],
  identity_providers: [{ issuer, clients, verification_hosts: [], scopes: ['groups'] }],
})

test.each([
  ['https://jit.acme.dev/', 'https://jit.acme.dev'],
  ['jit.acme.dev', 'https://jit.acme.dev'],
  ['HTTPS://JIT.acme.dev:443/team/', 'https://jit.acme.dev/team'],
  ['http://127.0.0.1:7420', 'http://127.0.0.1:7420'],
  ['http://localhost:7420/', 'http://localhost:7420'],
  ['127.0.0.1:7420', 'http://127.0.0.1:7420'],
  ['localhost:7420', 'http://localhost:7420'],
  ['[::1]:7420', 'http://[::1]:7420'],
  ['jit.acme.dev:7420', 'https://jit.acme.dev:7420'],
])('%s is the broker %s', (text, url) => {
  expect(brokerUrl(text)).toBe(url)
})

test.each([
  'http://jit.acme.dev',
  'https://me@jit.acme.dev',
  'https://jit.acme.dev?x',
  'ftp://x',
  'https://',
  '',
  'http://127.0.0.1.evil.dev',
])('%j is no address of a broker', (text) => {
  expect(() => brokerUrl(text)).toThrow(expect.objectContaining({ code: 'usage' }))
})

test('a broker says where its people sign in', async () => {
  const url = await broker((self) => metadata(self))
  expect(await discoverProviders(url)).toEqual([
    {
      issuer: 'https://idp.acme.dev',
      clientId: 'jit-cli',
      scopes: ['groups'],
      verificationHosts: [],
    },
  ])
})

test.each([
  ['speaks for another', () => metadata('https://other.dev'), 'says that it is https://other.dev'],
  [
    'names an issuer without TLS',
    (self: string) => metadata(self, 'http://idp.acme.dev'),
    'not https',
  ],
  [
    'has no provider for people',
    (self: string) => metadata(self, 'https://i.dev', {}),
    'no identity provider for people',
  ],
  ['answers nonsense', () => ({ resource: 1 }), 'resource'],
])('a broker that %s is not used', async (_, make, words) => {
  const url = await broker(make)
  await expect(discoverProviders(url)).rejects.toMatchObject({
    code: 'broker_failed',
    message: expect.stringContaining(words),
  })
})

test('a server that is no broker is told apart', async () => {
  const url = await broker(() => ({}), 404)
  await expect(discoverProviders(url)).rejects.toMatchObject({ code: 'broker_failed' })
})

test('a broker keeps the issuer that it was known with, or is refused', () => {
  const provider = (issuer: string) => ({
    issuer,
    clientId: 'c',
    scopes: [],
    verificationHosts: [],
  })
  const both = [provider('https://a.dev'), provider('https://b.dev')]
  const known = { broker: 'https://jit.dev', configFile: '/c/config.yaml' }
  expect(chooseProvider(both, { ...known, issuer: undefined }).issuer).toBe('https://a.dev')
  expect(chooseProvider(both, { ...known, issuer: 'https://b.dev' }).issuer).toBe('https://b.dev')
  expect(() => chooseProvider(both, { ...known, issuer: 'https://c.dev' })).toThrow(
    expect.objectContaining({
      code: 'issuer_changed',
      hint: expect.stringContaining('/c/config.yaml'),
    }),
  )
})

const acme = { issuer: 'https://idp.acme.dev', verificationHosts: ['login.acme.dev'] }

test.each(['https://idp.acme.dev/device', 'https://login.acme.dev/device?user_code=AB'])(
  '%s may be shown',
  (address) => {
    expect(checkVerificationAddress(address, acme).href).toBe(address)
  },
)

test.each([
  'https://evil.dev/device',
  'http://idp.acme.dev/device',
  'https://idp.acme.dev@evil.dev/device',
  'https://me:pw@idp.acme.dev/device',
  'https://idp.acme.dev.evil.dev',
  'javascript:alert(1)',
  'nonsense',
  'http://127.0.0.1:8080/device',
])('%s is never shown as the provider’s', (address) => {
  expect(() => checkVerificationAddress(address, acme)).toThrow(
    expect.objectContaining({ code: 'sign_in_failed' }),
  )
})
