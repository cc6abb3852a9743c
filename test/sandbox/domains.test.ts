import { expect, test } from 'vitest'
import { domainFilter } from '../../src/sandbox/domains.ts'

const routes = new Map<string, string>()
const permits = domainFilter({
  domains: ['api.example.com', '*.example.org', 'ported.example.com:8443', 'jit.example.com'],
  denied: [
    'metadata.google.internal',
    'https://jit.example.com',
    'http://other.example.org:7420/x',
  ],
  routes: () => routes,
})

test.each([
  ['api.example.com', 443],
  ['API.example.com', 80],
  ['a.b.example.org', 443],
  ['ported.example.com', 8443],
  // The broker's host at another port is what the profile says of it.
  ['jit.example.com', 8080],
])('%s:%i may be reached', (host, port) => expect(permits(host, port)).toBeUndefined())

test.each([
  ['example.org', 443],
  ['api.example.com.evil.net', 443],
  ['evil-api.example.com', 443],
  ['ported.example.com', 443],
  ['jit.example.com', 443],
  ['other.example.org', 7420],
  ['metadata.google.internal', 80],
  ['127.0.0.1', 443],
  ['2130706433', 443],
  ['[::1]', 443],
  ['api.example.com\0.example.org', 443],
  ['x%2e.example.org', 443],
  ['', 443],
])('%s:%i is refused', (host, port) => expect(permits(host, port)).toEqual(expect.any(String)))

test('a host with a route of its own may be reached for as long as it has one', () => {
  expect(permits('db.example.net', 443)).toEqual(expect.any(String))
  routes.set('db.example.net', '/x.sock')
  expect(permits('db.example.net', 443)).toBeUndefined()
  routes.clear()
  expect(permits('db.example.net', 443)).toEqual(expect.any(String))
})
