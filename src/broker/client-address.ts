import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import type { Log } from './log.ts'

const NETWORK = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/
const BITS = { 4: 32, 6: 128 } as const

interface Network {
  readonly address: string
  readonly family: 'ipv4' | 'ipv6'
  readonly prefix: number
}

/** An address, or a network as `10.0.0.0/8`; `undefined` for anything else, and for everybody's. */
export function parseNetwork(text: string): Network | undefined {
  const [, address = '', length] = NETWORK.exec(text) ?? []
  const version = isIP(address)
  if (version !== 4 && version !== 6) return undefined
  const prefix = length === undefined ? BITS[version] : Number(length)
  if (prefix < 1 || prefix > BITS[version]) return undefined
  return { address, family: `ipv${version}`, prefix }
}

/** Where requests come from: the peer, or whom a trusted proxy names. */
export class ClientAddresses {
  readonly #proxies = new BlockList()
  readonly #log: Log
  #warned = false

  /** @param proxies as {@link parseNetwork} takes them */
  constructor(proxies: readonly string[], log: Log) {
    this.#log = log
    for (const { address, prefix, family } of proxies.flatMap((text) => parseNetwork(text) ?? [])) {
      this.#proxies.addSubnet(address, prefix, family)
    }
  }

  /** Whether what a peer says about others is believed. */
  isProxy(peer: string | undefined): boolean {
    const address = plain(peer ?? '')
    const version = isIP(address)
    return version !== 0 && this.#proxies.check(address, `ipv${version as 4 | 6}`)
  }

  /**
   * The nearest address that isn't a trusted proxy's: whoever is behind it may have written the rest
   * of `X-Forwarded-For`.
   */
  of({ socket, headers }: Pick<IncomingMessage, 'socket' | 'headers'>): string {
    let address = plain(socket.remoteAddress ?? '')
    const told = String(headers['x-forwarded-for'] ?? '').split(',')
    if (headers['x-forwarded-for'] !== undefined && !this.isProxy(address)) this.#warn(address)
    while (this.isProxy(address)) {
      const before = plain(told.pop()?.trim() ?? '')
      if (isIP(before) === 0) break
      address = before
    }
    return address
  }

  /** A proxy that nobody named: all who come through it share the limits of one. */
  #warn(peer: string): void {
    if (this.#warned) return
    this.#warned = true
    this.#log.warn(
      'an X-Forwarded-For that is not believed: its sender is not in trusted_proxies',
      {
        peer,
      },
    )
  }
}

/** Without a port, brackets or a zone, which some proxies write; IPv4 as such where it is mapped. */
function plain(text: string): string {
  const bare = text
    .replace(/^\[([^\]]*)\](?::\d+)?$/, '$1')
    .replace(/^([\d.]+):\d+$/, '$1')
    .replace(/%.*$/, '')
  const [, mapped] = /^::ffff:([\d.]+)$/i.exec(bare) ?? []
  return mapped ?? bare
}

/** What limits count an address under: of IPv6 the /64, which one machine has all of. */
export function addressKey(address: string): string {
  if (isIP(address) !== 6) return address
  const [head = '', tail] = address.toLowerCase().split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = tail ? tail.split(':') : []
  // A last part as IPv4 stands for two groups; it is never among the first four that count.
  const missing = 8 - groups.length - after.length - (address.includes('.') ? 1 : 0)
  const zeros = tail === undefined ? [] : Array.from({ length: missing }, () => '0')
  const network = [...groups, ...zeros, ...after].slice(0, 4)
  return `${network.map((group) => group.replace(/^0+(?=.)/, '')).join(':')}::/64`
}
