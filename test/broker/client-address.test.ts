import type { IncomingMessage } from 'node:http'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addressKey, ClientAddresses, parseNetwork } from '../../src/broker/client-address.ts'

function addresses(proxies: readonly string[]) {
  const warned: string[] = []
  const warn = (message: string) => void warned.push(message)
  const log = { debug() {}, info() {}, warn, error() {} }
  const read = new ClientAddresses(proxies, log)
  const of = (peer: string, forwarded?: string) =>
    read.of({
      socket: { remoteAddress: peer },
      headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    } as unknown as IncomingMessage)
  return { of, warned }
}

describe('the address of a client', () => {
  test('is its peer’s, whatever it says about itself; that is told once', () => {
    const { of, warned } = addresses([])
    expect(of('203.0.113.9', '198.51.100.1')).toBe('203.0.113.9')
    expect(of('203.0.113.9', '198.51.100.2')).toBe('203.0.113.9')
    expect(of('::ffff:203.0.113.9')).toBe('203.0.113.9')
    expect(warned).toHaveLength(1)
  })

  test('is what a trusted proxy tells', () => {
    const { of, warned } = addresses(['127.0.0.1', 'fd00::/8'])
    expect(of('127.0.0.1', '198.51.100.1')).toBe('198.51.100.1')
    expect(of('::ffff:127.0.0.1', '2001:db8::7')).toBe('2001:db8::7')
    expect(of('fd00::1', '198.51.100.1:4711')).toBe('198.51.100.1')
    expect(of('fd00::1', '[2001:db8::7]:4711')).toBe('2001:db8::7')
    expect(warned).toEqual([])
  })

  test('is the nearest that no trusted proxy has: what stands before it, its owner wrote', () => {
    const { of } = addresses(['10.0.0.0/8'])
    expect(of('10.0.0.1', '192.0.2.1, 198.51.100.1, 10.9.9.9')).toBe('198.51.100.1')
  })

  test('is the proxy’s own where it tells none, or nothing that is one', () => {
    const { of } = addresses(['10.0.0.0/8'])
    for (const told of [undefined, '', 'unknown', '198.51.100.1, _hidden', ',,']) {
      expect(of('10.0.0.1', told)).toBe('10.0.0.1')
    }
  })

  test('is never one that whoever is behind a proxy chose', () => {
    const { of } = addresses(['10.0.0.0/8'])
    fc.assert(
      fc.property(fc.string(), (chosen) => {
        expect(of('10.0.0.1', `${chosen}, 198.51.100.1`)).toBe('198.51.100.1')
      }),
    )
  })
})

describe('limits count', () => {
  test.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::6', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['2001:db8::', '2001:db8:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['', ''],
  ])('%s as %s', (address, key) => {
    expect(addressKey(address)).toBe(key)
  })

  test('all addresses of an IPv6 network as one, however they are written', () => {
    const hex = fc.integer({ min: 0, max: 0xffff }).map((part) => part.toString(16))
    const parts = fc.array(hex, { minLength: 8, maxLength: 8 })
    fc.assert(
      fc.property(parts, (groups) => {
        const canonical = new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
        expect(addressKey(canonical)).toBe(`${groups.slice(0, 4).join(':')}::/64`)
      }),
    )
  })
})

test.each(['', 'proxy', '0.0.0.0/0', '::/0', '10.0.0.0/33', '10.0.0.1/', '::1/129', '10.0.0.0 /8'])(
  'trusted_proxies: %j is none',
  (text) => {
    expect(parseNetwork(text)).toBeUndefined()
  },
)
